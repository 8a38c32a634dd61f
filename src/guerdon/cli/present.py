"""Settings for commands that work beside a server: of the environment, or of `guerdon dev`."""

import os

from guerdon.cli.state import own_pepper
from guerdon.config import Environment, Settings, load_settings
from guerdon.embedded import running_servers

PEPPER_VARIABLE = "GUERDON_API_KEY_PEPPER"


def present_settings() -> Settings:
    """Raises SettingsInvalid when DATABASE_URL is not set and no `guerdon dev` runs here."""
    if os.environ.get("DATABASE_URL"):
        return load_settings()
    servers = running_servers()
    if servers is None:
        return load_settings()
    return load_settings(
        environment=Environment.DEVELOPMENT,
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        api_key_pepper=os.environ.get(PEPPER_VARIABLE) or own_pepper(),
    )
