"""`aicore.toml` and the environment, as typed settings, read once."""

from aicore.config.loading import Settings, load
from aicore.config.routing import (
    BudgetSettings,
    ClassSettings,
    OwnPrice,
    PrivacySettings,
    RouterSettings,
)
from aicore.config.sections import (
    AgentSettings,
    CallSettings,
    ContextSettings,
    EmbedderSettings,
    LimitSettings,
    LogSettings,
    MemorySettings,
    ServerSettings,
    TelemetrySettings,
)

__all__ = [
    "AgentSettings",
    "BudgetSettings",
    "CallSettings",
    "ClassSettings",
    "ContextSettings",
    "EmbedderSettings",
    "LimitSettings",
    "LogSettings",
    "MemorySettings",
    "OwnPrice",
    "PrivacySettings",
    "RouterSettings",
    "ServerSettings",
    "Settings",
    "TelemetrySettings",
    "load",
]
