"""The wheel, outside the checkout: three programs that run, and deploy, from what was installed alone."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster
from tests.e2e.witness import check_hooks

ROOT = Path(__file__).parents[2]
PROGRAMS = ("hookline", "hookline-coordinator", "hookline-agent")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=60)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel installed in it, and nothing else."""
    site = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, cwd=site, check=True, timeout=60)
    return site


@pytest.fixture
def outside(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, with nothing but the wheel and the packages that it requires to import from."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_wheel_ships_the_programs_and_the_protos_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"coordinator", "agent", "hookline"}
    assert {"hookline/v1/agent_pb2.py", "hookline/v1/agent_pb2.pyi", "hookline/v1/agent_pb2_grpc.py", "hookline/v1/agent.proto"} <= set(
        names
    )
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".db")]


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_installed_program_tells_its_version_and_explains_itself(site: Path, outside: Path, program: str) -> None:
    for option, expected in (("--version", "0.1.0"), ("--help", "sage: ")):
        said = subprocess.run([str(site / "bin" / program), option], cwd=outside, capture_output=True, text=True, timeout=30, check=True)
        assert expected in said.stdout
        assert said.stderr == ""


@pytest.mark.timeout(120)
def test_what_was_installed_deploys(site: Path, outside: Path) -> None:
    with Cluster(outside / "cluster", programs=site / "bin") as cluster:
        script = "import coordinator, agent, hookline; print(coordinator.__file__, agent.__file__, hookline.__file__)"
        places = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert places.count(str(site)) == 3
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        revision = cluster.hookline("push", "shop", str(bundle(outside / "v1", "v1"))).json["revision_id"]
        lines = cluster.hookline("deploy", "shop", "production", "--revision", revision, "--follow").lines
        check_hooks(cluster, lines[-1]["deployment"]["deployment_id"], ["web-1"], first=True)
