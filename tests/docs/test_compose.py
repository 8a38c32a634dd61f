"""docker-compose.yml, without containers: its parts are there, and its commands work."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from guerdon.cli.application import app
from guerdon.config import SettingsInvalid, load_settings
from guerdon.embedded.binaries import find_postgres
from guerdon.limits import DRAIN_SECONDS_MAX, WORKER_END_SECONDS_MAX
from tests.docs.pages import ROOT
from tests.process.servers import environment, serving
from tests.support.databases import DatabaseFactory

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "guerdon")
# A job, and an image that holds no program to ask with.
WITHOUT_HEALTH_CHECK = {"migrate", "otel-collector"}
VARIABLE = re.compile(r"\$\{(\w+):\?[^}]+\}")
PASSWORD = "d2f1c09a77e84b53"


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled(service: str, values: dict[str, str]) -> dict[str, str]:
    """The service's environment with the variables replaced, as compose does it."""
    given: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: VARIABLE.sub(lambda m: values[m[1]], text) for name, text in given.items()}


def test_every_secret_has_a_place_in_the_example_and_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(VARIABLE.findall(text)) == set(example())
    assert re.findall(r"\$(?!\{\w+:\?)", text) == []


@pytest.mark.parametrize("service", OURS)
def test_placeholders_are_refused_in_production(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = filled(service, example())
    monkeypatch.delenv("GUERDON_ENVIRONMENT", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    secret = {"DATABASE_URL", "REDIS_URL", "GUERDON_API_KEY_PEPPER"} & settings.keys()
    assert [name for name in sorted(secret) if name not in str(refused.value)] == []


@pytest.mark.parametrize("service", OURS)
def test_our_commands_are_those_of_the_command_line(service: str) -> None:
    program, command, *_ = SERVICES[service]["command"]
    assert program == "guerdon"
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_every_image_is_pinned_to_a_major_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) >= 7
    assert [image for image in images if not re.search(r":v?\d+", image)] == []


def test_every_service_tells_its_health() -> None:
    without = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert without == WITHOUT_HEALTH_CHECK


def test_every_service_waits_for_one_that_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            is_job = wanted["condition"] == "service_completed_successfully"
            assert is_job or "healthcheck" in SERVICES[name]


def test_a_container_has_time_to_drain() -> None:
    seconds = int(SERVICES["guerdon"]["stop_grace_period"].removesuffix("s"))
    assert seconds > DRAIN_SECONDS_MAX + WORKER_END_SECONDS_MAX


def test_every_file_that_is_mounted_is_there_and_every_volume_is_declared() -> None:
    sources = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])]
    files = [source for source in sources if source.startswith("./")]
    assert len(files) >= 4
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_what_is_watched_has_the_names_and_ports_of_the_services() -> None:
    folder = ROOT / "observability"
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["guerdon:9464"]
    (source,) = (folder / "grafana" / "provisioning" / "datasources").iterdir()
    url = urlsplit(yaml.safe_load(source.read_text())["datasources"][0]["url"])
    assert url.hostname in SERVICES
    collector = urlsplit(SERVICES["guerdon"]["environment"]["GUERDON_OTLP_ENDPOINT"])
    assert collector.hostname in SERVICES
    receivers = yaml.safe_load((folder / "otel-collector.yaml").read_text())["receivers"]
    assert receivers["otlp"]["protocols"]["grpc"]["endpoint"].endswith(f":{collector.port}")


def test_the_image_is_built_from_files_that_are_there_and_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_in = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(copied) == let_in
    installs = re.findall(r"pip install (.+?)(?: \\)?$", dockerfile, re.MULTILINE)
    assert len(installs) == 3
    assert all(i.startswith(("--require-hashes", "--no-deps /dist/")) for i in installs)
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE) == ["guerdon"]


async def test_the_commands_bring_up_a_server_on_an_empty_database(
    databases: DatabaseFactory, redis_url: str, tmp_path: Path
) -> None:
    """The road of `docker compose up`: login, migrations, server, and a check of all of it."""
    values = dict.fromkeys(example(), PASSWORD)
    name = await databases.make_empty()
    owner_url = databases.url(name)
    try:
        await create_server_login(owner_url, values)
        migrations = SERVICES["migrate"]["command"]
        await run_ours(migrations, {"DATABASE_URL": owner_url})
        server_env = environment(
            as_server(owner_url, filled("guerdon", values)["DATABASE_URL"]),
            GUERDON_ENVIRONMENT="production",
            REDIS_URL=redis_url,
        )
        said = await run_ours(["guerdon", "doctor"], server_env)
        assert re.findall(r"^(\w+) ", said, re.MULTILINE) == ["ok", "ok", "ok"], said
        _, serve, *options = SERVICES["guerdon"]["command"]
        assert serve == "serve"
        async with serving(tmp_path, server_env, *options) as server:
            assert len(server.workers()) == 2
            assert server.get("/readyz")[0] == 200
            assert await server.stop() == 0
    finally:
        await databases.drop(name)
        await databases.connection.execute("drop role if exists guerdon_server")


async def create_server_login(owner_url: str, values: dict[str, str]) -> None:
    """As the image of Postgres does it, by psql."""
    mounts = [v for v in SERVICES["postgres"]["volumes"] if "initdb.d" in v]
    assert len(mounts) == 1
    psql = find_postgres().folder / "psql"
    env = filled("postgres", values)
    await run([str(psql), "--no-psqlrc", "--file", mounts[0].split(":")[0], owner_url], env)


async def run_ours(command: list[str], env: dict[str, str]) -> str:
    if "GUERDON_ENVIRONMENT" not in env:
        env = environment(env["DATABASE_URL"], GUERDON_ENVIRONMENT="production")
    assert command[0] == "guerdon"
    return await run([sys.executable, "-m", *command], env)


async def run(command: list[str], env: dict[str, str]) -> str:
    result = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def as_server(owner_url: str, composed: str) -> str:
    """The test's database, by the login and password that the compose file gives the server."""
    login = urlsplit(composed).netloc.rpartition("@")[0]
    place = urlsplit(owner_url)
    return place._replace(netloc=f"{login}@{place.netloc.rpartition('@')[2]}").geturl()


def test_the_login_of_the_compose_file_is_the_one_that_the_script_makes() -> None:
    script = (ROOT / "deploy" / "create-server-login.sql").read_text()
    login = urlsplit(filled("guerdon", example())["DATABASE_URL"]).username
    assert f"create role {login} login" in script
