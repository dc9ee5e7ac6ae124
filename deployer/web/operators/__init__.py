"""The REST API for people and their scripts, under /api/v1. Every route needs a token."""

from __future__ import annotations

from fastapi import APIRouter

from deployer.web.operators import (
    access,
    chat,
    deployments,
    hosts,
    images,
    profiles,
    receivers,
    secrets,
)

router = APIRouter()
for part in (hosts, profiles, images, deployments, receivers, secrets, access, chat):
    router.include_router(part.router)
