"""A hook prints secrets, one of which only its host knows: nobody who reads what is kept, logged, counted or answered finds them."""

from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster

CANARY = "c4n4ryC4N4RYc4n4ryC4N4RYc4n4ry"
REFERENCES = """
x-hookline:
  env:
    SHAPELESS: {file: FILE}
    OTHER: {command: "cat FILE"}
"""
PRINTS = """#!/bin/sh
# Put together here, so that the bundle itself does not hold it.
c=c4n4ry; C=C4N4RY; secret=$c$C$c$C$c
echo "fetching https://deploy:$secret@artifacts.example/app.tgz"
echo "Authorization: Bearer $secret" >&2
echo "HOOKLINE_TOKEN=hlo_$secret AWS_SECRET_ACCESS_KEY=$secret ghp_$secret"
echo "and without any shape: $SHAPELESS"
printf -- '-----BEGIN PRIVATE KEY-----\\n%s\\n%s\\n-----END PRIVATE KEY-----\\n' "$secret" "$secret"
echo "the end"
exit 3
"""


@pytest.mark.timeout(120)
def test_a_secret_that_a_hook_prints_is_found_nowhere(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        made = bundle(tmp_path / "v1", "v1")
        (made / "scripts" / "hook.sh").write_text(PRINTS)
        secret = tmp_path / "secret"
        secret.write_text(f"{CANARY}\n")
        with (made / "appspec.yml").open("a") as appspec:
            appspec.write(REFERENCES.replace("FILE", str(secret)))
        revision = str(cluster.hookline("push", "shop", str(made)).json["revision_id"])
        deployed = cluster.typed("deploy", "shop", "production", "--revision", revision, "--follow")
        assert deployed.code != 0
        deployment_id = str(cluster.rows("SELECT deployment_id FROM v_deployments")[0][0])
        target = cluster.typed("--output", "json", "target", deployment_id, "web-1")
        assert "deploy:" + "*" * len(CANARY) + "@artifacts.example" in target.out
        answers = [deployed, target, *(cluster.typed(*words, deployment_id) for words in (("status",), ("history",), ("logs",)))]
        assert "the end" in answers[-1].out
        assert f"and without any shape: {'*' * len(CANARY)}" in answers[-1].out
        told = [text for answer in answers for text in (answer.out, answer.err)] + [cluster.http("/metrics"), cluster.http("/healthz")]
        assert not [text for text in told if CANARY in text]
    kept = [path for path in (tmp_path / "cluster").rglob("*") if path.is_file()]
    assert {"hookline.db", "coordinator", "web-1"} <= {path.name for path in kept} | {path.stem for path in kept}
    assert not [path for path in kept if CANARY.encode() in path.read_bytes()]
