"""`aicore chat`: a conversation in the terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

from aicore.agent.agent import Agent
from aicore.agent.build import build_agent
from aicore.agent.choose import choose_provider
from aicore.cli.screen import Screen, ask_line
from aicore.config import load
from aicore.errors import AicoreError, ConfigError
from aicore.telemetry.logs import write_logs

__all__ = ["chat_with", "run_chat"]


def run_chat(options: argparse.Namespace) -> int:
    """Talk until the person leaves. Returns the exit code."""
    config: Path = options.config
    if not config.exists():
        raise ConfigError(
            f"{config} does not exist. Name one with --config, or make one with `aicore demo`: "
            "it writes aicore-demo/aicore.toml."
        )
    return anyio.run(_chat, config, options.conversation)


async def _chat(config: Path, conversation: str) -> int:
    screen = Screen()
    settings = load(config)
    write_logs(settings.telemetry.logs)
    chosen = await choose_provider(settings)
    screen.line(f"{config}: {chosen.why}", style="dim")
    async with build_agent(config, provider=chosen.provider) as agent:
        for server in agent.health():
            if server.failure:
                screen.line(f"{server.name} is down: {server.failure}", style="red")
        return await chat_with(agent, screen, conversation)


async def chat_with(agent: Agent, screen: Screen, conversation: str) -> int:
    """Read lines and answer each, until an empty input ends or `/quit` is typed.

    An error of a turn is shown, and the conversation goes on.
    """
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        screen.line("Type a message; /quit or Ctrl-D leaves.", style="dim")
    while True:
        text = await ask_line("\nyou> " if is_terminal else "")
        if text is None or text.strip() == "/quit":
            screen.line()
            return 0
        if not text.strip():
            continue
        if not is_terminal:
            screen.line(f"\nyou> {text}")
        try:
            await screen.turn(agent.stream(text, conversation=conversation, channel="terminal"))
        except AicoreError as error:
            screen.line(str(error), style="red")
