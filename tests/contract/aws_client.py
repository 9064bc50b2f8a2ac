"""What AWS's last client of the service says, as JSON: run by the environment that has it, not by the tests' own.

aws_client.py model                 its service model and paginators
aws_client.py count URL [ATTEMPTS]  {studio id: {"STATE STATUS_CODE": backups}}, by its own paginators
aws_client.py call URL OPERATION PARAMETERS [unsigned]    the parsed answer, or the error
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError


def client(url: str, signature_version: Any = None, attempts: int = 1) -> Any:
    return botocore.session.get_session().create_client(
        "nimble",
        region_name="us-west-2",
        endpoint_url=url,
        config=Config(
            signature_version=signature_version, retries={"mode": "standard", "total_max_attempts": attempts}
        ),
    )


def model() -> dict[str, Any]:
    loader = botocore.session.get_session().get_component("data_loader")
    return {
        "version": botocore.__version__,
        "service": loader.load_service_model("nimble", "service-2"),
        "paginators": loader.load_service_model("nimble", "paginators-1")["pagination"],
    }


def count(url: str, attempts: str = "1") -> dict[str, Any]:
    nimble = client(url, attempts=int(attempts))
    studios = nimble.get_paginator("list_studios").paginate().build_full_result()["studios"]
    counted: dict[str, Any] = {}
    for studio in studios:
        pages = nimble.get_paginator("list_streaming_session_backups").paginate(studioId=studio["studioId"])
        counted[studio["studioId"]] = Counter(
            f"{backup['state']} {backup['statusCode']}" for page in pages for backup in page["streamingSessionBackups"]
        )
    return counted


def call(url: str, operation: str, parameters: str, unsigned: str = "") -> dict[str, Any]:
    nimble = client(url, UNSIGNED if unsigned else None)
    try:
        return {"answer": getattr(nimble, operation)(**json.loads(parameters))}
    except ClientError as error:
        kind = type(error).__name__
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"error": error.response["Error"]["Code"], "class": kind, "status": status}


commands: dict[str, Any] = {"model": model, "count": count, "call": call}
json.dump(commands[sys.argv[1]](*sys.argv[2:]), sys.stdout, default=str)
