"""The aggregator that weft replaces: FastAPI, both calls run concurrently, one uvicorn worker."""

import asyncio
import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pymongo import AsyncMongoClient


class Core(BaseModel):
    userId: int
    username: str
    email: str
    createdAt: str


class Extension(BaseModel):
    userId: int
    tags: list[str] = []
    lastActivityScore: float = 0.0
    customSettings: dict = {}


class Composite(BaseModel):
    core: Core | None
    extension: Extension | None
    errors: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.mongo = AsyncMongoClient(os.environ["MONGODB_URI"])
    limits = httpx.Limits(max_connections=1024, max_keepalive_connections=1024)
    app.state.http = httpx.AsyncClient(base_url=os.environ["LEGACY"], timeout=3.0, limits=limits)
    yield
    await app.state.http.aclose()
    await app.state.mongo.close()


app = FastAPI(lifespan=lifespan)


async def core(user_id: int) -> Core:
    response = await app.state.http.get(f"/api/v1/users/{user_id}")
    response.raise_for_status()
    return Core.model_validate(response.json())


async def extension(user_id: int) -> Extension:
    profiles = app.state.mongo["user_profiles"]["profiles"]
    return Extension.model_validate(await profiles.find_one({"userId": user_id}) or {"userId": user_id})


@app.get("/api/v1/users/{user_id}", response_model=Composite)
async def composite(user_id: int):
    first, second = await asyncio.gather(core(user_id), extension(user_id), return_exceptions=True)
    errors = []
    if isinstance(first, BaseException):
        first = None
        errors.append("Failed to fetch core user profile.")
    if isinstance(second, BaseException):
        second = None
        errors.append("Failed to fetch extended user profile.")
    if len(errors) == 2:
        return JSONResponse({"detail": "All upstream services are unavailable."}, 503)
    return Composite(core=first, extension=second, errors=errors)
