"""`cemd status` against the real page: what an operator asks first, and an exit code for those who ask by machine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import msgspec
from cemd.cli import main
from cemd.web.house import ToMend
from cemd.web.server import WebServer
from click.testing import CliRunner, Result

from tests.web.scene import NOW, SceneHouse, rich_views

WHAT = "The last reload was refused; what was in effect before it still is"


async def status(house: SceneHouse, root: Path, *more: str) -> Result:
    server = WebServer(house, port=0)
    await server.start()
    words = ["status", "--root", str(root), "--url", server.url, *more]
    try:
        return await asyncio.to_thread(CliRunner().invoke, main, words)
    finally:
        await server.stop()


async def test_all_is_well_with_cemd_whatever_is_hurt_out_there(tmp_path: Path) -> None:
    result = await status(SceneHouse(rich_views()), tmp_path)
    assert result.exit_code == 0, result.output
    assert "\nready\n" in result.output
    assert "inc-3f2a91c04d7e  Payment gateway is down, cause Payment gateway, since" in result.output
    assert "Europe/Vienna" in result.output


async def test_vantage_points_are_counted_and_who_has_not_come_is_named_with_since_when(tmp_path: Path) -> None:
    views = rich_views()
    said = (await status(SceneHouse(views), tmp_path)).output
    assert "4 vantage points: 1 heard, 2 not heard, 1 waited for\n  young has not come yet, waited for since 20" in said
    alone = msgspec.structs.replace(views.analyze, vantages=views.analyze.vantages[:1])
    assert "vantage point" not in (await status(SceneHouse(replace(views, analyze=alone)), tmp_path)).output


async def test_what_recovers_is_not_called_hurt(tmp_path: Path) -> None:
    views = rich_views()
    clear = tuple(msgspec.structs.replace(one, clear_since=views.at - 60) for one in views.incidents)
    result = await status(SceneHouse(replace(views, incidents=clear)), tmp_path)
    assert "Payment gateway recovers, cause Payment gateway: nothing is hurt since" in result.output
    assert " is down" not in result.output


async def test_what_is_to_mend_is_said_with_place_and_remedy_and_is_no_success(tmp_path: Path) -> None:
    house = SceneHouse(rich_views())
    house.mends = (ToMend(what=WHAT, place="probes/a.yaml:3:5", fact="unknown key", remedy="drop it", since=NOW),)
    result = await status(house, tmp_path)
    assert result.exit_code == 1
    assert f"to mend: {WHAT}.\n  probes/a.yaml:3:5: unknown key; drop it (since 20" in result.output
    house.mends, house.reasons = (), ["no prober has told of progress."]
    result = await status(house, tmp_path)
    assert result.exit_code == 1
    assert "not ready:\n  no prober has told of progress." in result.output


async def test_machines_read_it_as_json(tmp_path: Path) -> None:
    house = SceneHouse(rich_views())
    house.mends = (ToMend(what=WHAT, place="probes/a.yaml:3:5", fact="unknown key", remedy="drop it", since=NOW),)
    document = json.loads((await status(house, tmp_path, "--json")).output)
    assert document["to_mend"][0]["place"] == "probes/a.yaml:3:5"
    assert document["incidents"][0]["id"].startswith("inc-")


async def test_faulty_settings_do_not_keep_anybody_from_asking(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 1\n")
    result = await status(SceneHouse(rich_views()), tmp_path)
    assert result.exit_code == 0, result.output
    assert "config/cemd.yaml:1:1" in result.stderr


def test_where_nobody_answers_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--root", str(tmp_path), "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no cemd answers there" in result.output
