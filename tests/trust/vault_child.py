"""One process of several that fill a vault: `python vault_child.py FILE KEYFILE NUMBER`.

Prints, as JSON, the placeholders of values that all of them have, in an order of its own.
"""

import json
import random
import sys
from pathlib import Path

import anyio

from aicore.trust.vault_registry import open_vaults

VALUES = [f"Person {number} Quokka" for number in range(40)]


async def main() -> None:
    url, key, number = sys.argv[1:]
    values = random.Random(number).sample(VALUES, len(VALUES))
    async with open_vaults(url, key_file=Path(key)) as vaults:
        vault = await vaults.open("web:1")
        for value in values:
            await vault.assign([("NAME", value), ("NAME", f"{value} of {number}")])
        print(json.dumps({value: vault.placeholder_of(value) for value in VALUES}))


if __name__ == "__main__":
    anyio.run(main)
