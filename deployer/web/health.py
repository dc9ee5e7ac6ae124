"""Is the service alive, can it do its work, and what does it measure? Needs no token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from deployer.core.lifecycle import State
from deployer.errors import DeployerError
from deployer.observe import metrics, registry
from deployer.services import netboot, workers
from deployer.store import deployments as store
from deployer.web.dependencies import PartsDep

router = APIRouter()


@router.get("/", include_in_schema=False)
def root() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get("/healthz")
def healthz() -> PlainTextResponse:
    """This process answers. Restart it when it does not."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
def readyz(request: Request, parts: PartsDep) -> JSONResponse:
    """503 and the reasons while the database or the worker does not do its work.

    What is wrong with other processes, a netboot that fails or workers that are all gone, is named
    among the problems; it is no reason to send nobody here any more.
    """
    problems: dict[str, Any] = {}
    noted: dict[str, Any] = {}
    worker = getattr(request.app.state, "worker", None)
    try:
        parts.database.ping()
        with parts.database.reading() as session:
            if found := netboot.problems(session, parts.clock()):
                noted["netboot"] = "; ".join(found)
            if worker is None and (none := workers.problem(session, parts.clock())):
                noted["worker"] = none
    except DeployerError as error:
        problems["database"] = error.message
    if worker is not None and worker.problems:
        problems["worker"] = f"failing: {', '.join(worker.problems)}"
    shown = {"ready": not problems, "problems": problems | noted}
    return JSONResponse(shown, 503 if problems else 200)


@router.get("/metrics")
def metrics_page(parts: PartsDep) -> Response:
    """For Prometheus."""
    with parts.database.reading() as session:
        counts = store.count_by_state(session)
        beats = netboot.heartbeats(session)
        metrics.workers.set(len(workers.alive(session, parts.clock())))
    for state in State:
        metrics.deployments.labels(state).set(counts.get(state, 0))
    for gauge in (metrics.netboot_up, metrics.netboot_restarts, metrics.netboot_events):
        gauge.clear()  # one that was stopped on purpose is no longer there
    for beat in beats:
        metrics.netboot_up.labels(beat.name).set(parts.clock() - beat.at <= netboot.STALE)
        metrics.netboot_restarts.labels(beat.name).set(beat.restarts)
        for kind, number in beat.counts.items():
            metrics.netboot_events.labels(beat.name, kind).set(number)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
