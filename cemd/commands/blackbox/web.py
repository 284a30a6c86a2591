"""What the keys of the probers `http` and `grpc` are in our words: both become a probe of the kind `http`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from cemd.commands.blackbox.module import (
    Module,
    bytes_of,
    file_to_write,
    found_file,
    ip_version,
    pattern_of,
    tls_of,
    unknown,
)

_OAUTH2: tuple[str, ...] = ("token_url", "client_id", "client_secret_file")
_NOT_CARRIED = {
    "compression": "bodies are asked for as they are",
    "accept_any_response": "name in `status` what is right",
    "fail_if_body_json_matches_cel": "give `json_condition`",
    "fail_if_body_json_not_matches_cel": "give `json_condition`",
}
"""Keys that have no word of ours, and what to do about each."""
GRPC_PATH = "/grpc.health.v1.Health/Check"


def http(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    url = target if "://" in target else f"http://{target}"
    params: dict[str, Any] = {"url": url, **ip_version(module)}
    for theirs, ours in (("method", "method"), ("body", "body"), ("headers", "headers"), ("proxy_url", "proxy")):
        if (value := module.take(theirs)) not in (None, {}):
            params[ours] = value
    _body_of_file(module, params)
    _own_headers(module, params)
    _through_proxy(module)
    if codes := module.take("valid_status_codes"):
        params["status"] = list(codes)
    follows = module.take("follow_redirects", True) and not module.take("no_follow_redirects", False)
    if follows:
        params["redirects"] = 10
    _http_versions(module, params)
    _http_conditions(module, params)
    _credentials(module, params)
    tls_of(module.part("tls_config"), params, client=True)
    if limit := module.take("body_size_limit"):
        params["max_body_bytes"] = bytes_of(module, limit)
    for key, remedy in _NOT_CARRIED.items():
        if module.take(key):
            module.say(f"http.{key} is not carried over: {remedy}")
    if module.take("fail_if_ssl"):
        module.say("http.fail_if_ssl is not carried over: give an http:// URL")
    if module.take("fail_if_not_ssl"):
        if not target.startswith(("https://", "{")):
            module.say("http.fail_if_not_ssl: a target that is not of https:// is asked as https:// from the start")
        params["url"] = re.sub("^http://", "https://", params["url"])
    return "http", params


def _body_of_file(module: Module, params: dict[str, Any]) -> None:
    """What is sent from a file stands in the probe itself: the file is read now, once."""
    if not (name := module.take("body_file")):
        return
    try:
        content = (module.folder / name).read_bytes()
    except OSError as exc:
        fact = f"{name} cannot be read here ({exc.strerror})"
        module.say(f"http.body_file is not carried over: {fact}; give its text as `body`")
        return
    try:
        params["body"] = content.decode()
    except UnicodeDecodeError:
        params["body_hex"] = content.hex()
    module.say(f"http.body_file: what {name} holds now is sent, a copy of it; a later change there does not count")


def _own_headers(module: Module, params: dict[str, Any]) -> None:
    """`http_headers` holds several values a field, as texts, in files, or as secrets; here a field has one."""
    for name, held in (module.take("http_headers") or {}).items():
        for theirs, ours in (("values", "headers"), ("files", "header_files")):
            if found := held.get(theirs):
                first = str(found[0]) if ours == "headers" else found_file(module, str(found[0]))
                params.setdefault(ours, {})[str(name)] = first
            if len(found or ()) > 1:
                module.say(f"http.http_headers: of the {theirs} of {name} the first alone is carried over")
        if held.get("secrets"):
            module.say(f"http.http_headers: the secret of {name} is not carried over: write it into a file of its own")


def _through_proxy(module: Module) -> None:
    module.take("skip_resolve_phase_with_proxy")  # names are the proxy's affair here in any case
    if module.take("proxy_connect_header"):
        module.say("http.proxy_connect_header is not carried over: a log-in stands in `proxy_login_file`")


def _http_versions(module: Module, params: dict[str, Any]) -> None:
    versions = module.take("valid_http_versions") or []
    if module.take("enable_http2", True) and params["url"].startswith("https://"):
        params["http2"] = True
    if versions and all("2" in str(version).partition("/")[2] for version in versions):
        params |= {"http2": True, "require_http2": True}
    elif not {"1.1", "2"} <= {
        str(version).partition("/")[2].removesuffix(".0") for version in versions or ("/1.1", "/2")
    }:
        module.say("http.valid_http_versions is not carried over, other than HTTP/2 alone")


def _http_conditions(module: Module, params: dict[str, Any]) -> None:
    if patterns := module.take("fail_if_body_matches_regexp"):
        params["body_matches_not"] = "|".join(f"(?:{pattern_of(module, pattern)})" for pattern in patterns)
    if patterns := [pattern_of(module, text) for text in module.take("fail_if_body_not_matches_regexp") or []]:
        several = "".join(f"(?=[\\s\\S]*?(?:{pattern}))" for pattern in patterns)
        params["body_matches"] = patterns[0] if len(patterns) == 1 else f"\\A{several}"
    for key, negated in (("fail_if_header_not_matches", False), ("fail_if_header_matches", True)):
        for one in module.take(key) or []:
            name, pattern = str(one.get("header")), pattern_of(module, str(one.get("regexp")))
            if name in params.setdefault("header_matches", {}):
                module.say(f"http.{key}: a second condition on {name} is not carried over")
                continue
            allows_missing = one.get("allow_missing", False)
            text = f"\\A(?![\\s\\S]*?(?:{pattern}))" if negated else pattern
            if allows_missing and not negated:
                text = f"\\A\\Z|{text}"
            if negated and not allows_missing:
                module.say(f"http.{key}: a missing {name} is right here; there it failed")
            params["header_matches"][name] = text


def _credentials(module: Module, params: dict[str, Any]) -> None:
    if path := module.take("bearer_token_file"):
        params["bearer_file"] = found_file(module, path)
    authorization = module.part("authorization")
    if authorization.left and authorization.left.get("type", "Bearer") == "Bearer":
        authorization.take("type")
        _bearer(module, authorization.take("credentials_file"), authorization.take("credentials"), params)
    authorization.say_left("http.authorization.")
    if token := module.take("bearer_token"):
        _bearer(module, None, token, params)
    if "basic_auth" in module.left:
        _basic(module, module.part("basic_auth"), params)
    oauth2 = module.part("oauth2")
    if oauth2.left:
        made: dict[str, str] = {key: oauth2.take(key) for key in _OAUTH2 if key in oauth2.left}
        if scopes := oauth2.take("scopes"):
            made["scope"] = " ".join(scopes)
        if oauth2.take("client_secret"):
            file = made.setdefault("client_secret_file", file_to_write(module, "secret"))
            module.say(f"http.oauth2.client_secret is not carried over: write it into {file}")
        asked = dict(oauth2.take("endpoint_params") or {})
        if asked.pop("grant_type", "client_credentials") != "client_credentials":
            module.say("http.oauth2.endpoint_params: grant_type is always client_credentials here")
        if audience := asked.pop("audience", None):
            made["audience"] = str(audience)
        if asked:
            module.say(f"http.oauth2.endpoint_params: {', '.join(asked)} is not carried over")
        params["oauth2"] = made
        oauth2.say_left("http.oauth2.")


def _bearer(module: Module, file: str | None, token: str | None, params: dict[str, Any]) -> None:
    if file:
        params["bearer_file"] = found_file(module, file)
    elif token:
        params["bearer_file"] = file_to_write(module, "token")
        module.say(f"http: the token is not carried over: write it into {params['bearer_file']}")


def _basic(module: Module, basic: Module, params: dict[str, Any]) -> None:
    if user := basic.take("username"):
        params["user"] = str(user)
    elif name := basic.take("username_file"):
        params["user"] = unknown(module, "user", "fill in")
        module.say(f"http.basic_auth.username_file: fill in at the head of the file whom {name} names")
    file, password = basic.take("password_file"), basic.take("password")
    params["password_file"] = found_file(module, file) if file else file_to_write(module, "password")
    if not file and password:
        module.say(f"http.basic_auth: the password is not carried over: write it into {params['password_file']}")
    elif not file:
        module.say(f"http.basic_auth has no password: write an empty file {params['password_file']}")
    basic.say_left("http.basic_auth.")


def grpc(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    """The health check of gRPC is a POST over HTTP/2: a frame with the service's name, answered by SERVING (1)."""
    tls = bool(module.take("tls", False))
    service = str(module.take("service", "") or "")
    message = (b"\x0a" + bytes((len(service),)) + service.encode()) if service else b""
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    host = urlsplit(target).netloc if "://" in target else target
    params: dict[str, Any] = {
        "url": f"{'https' if tls else 'http'}://{host}{GRPC_PATH}",
        **ip_version(module),
        "method": "POST",
        "headers": {"Content-Type": "application/grpc", "TE": "trailers"},
        "body_hex": frame.hex(),
        "body_contains": "\x08\x01",
        "http2": True,
        "require_http2": True,
    }
    tls_of(module.part("tls_config"), params, client=True)
    return "http", params
