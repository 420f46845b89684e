"""A command line in this process, an empty home, and a home that was filled once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from analytics_pipeline import cli
from analytics_pipeline_tests.worlds import scratch


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        assert len(self.err.splitlines()) == 1, self.err
        return self.err.strip()


Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of this test, not made yet; an environment and a working directory without settings."""
    for name in [name for name in os.environ if name.startswith("ANALYTICS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    with scratch() as folder:
        monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
        yield folder / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def _filled_once() -> Iterator[Path]:
    """A home with a simulated month, loaded and published."""
    with scratch() as folder, pytest.MonkeyPatch.context() as patch:
        home = folder / "home"
        patch.setenv("ANALYTICS_HOME", str(home))
        for arguments in (
            ["simulate", "--out", str(home / "run_logs"), "--days", "30", "--runs-per-day", "20"],
            ["ingest", str(home / "run_logs")],
            ["materialize"],
        ):
            with pytest.raises(SystemExit) as ended:
                cli.main(arguments)
            assert ended.value.code == 0
        yield home


@pytest.fixture
def filled(_filled_once: Path, home: Path) -> Path:
    """This test's own copy of the home with a simulated month; its logs are left out."""
    shutil.copytree(_filled_once, home, ignore=shutil.ignore_patterns("run_logs"))
    return home
