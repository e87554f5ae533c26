"""``TellurioClient``: the server's HTTP API, and the agent's transport.

    client = steplog.TellurioClient("https://platform.tellurio.ai")
    client.login()                                     # returns the account, or raises
    client.get("/api/v0/me/projects/demo/").json()

An answer of any status is a ``requests.Response``, its body read. A client is thread-safe, works in a forked child, and
cannot be pickled.
"""

from __future__ import annotations

import json as json_text
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from steplog import time_limit
from steplog.address import canonical_url, local_instance, local_url, with_port
from steplog.delivery.exchange import ANSWER_BYTES_MAX, Request, Transport
from steplog.delivery.wire import API
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError
from steplog.network import keys
from steplog.network.discovery import discover
from steplog.network.local_server import NOT_RUNNING, LocalServer
from steplog.network.response import Response
from steplog.network.stream import Stream
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.settings import Settings, resolve, sources

if TYPE_CHECKING:
    import requests

    from steplog.network.replaced import ReplacedTransport

__all__ = [
    "Account",
    "LocalServers",
    "TellurioClient",
    "client_for",
    "find_local",
    "get_default_client",
    "is_configured",
    "later_client",
    "login",
]

_T = TypeVar("_T")
_Headers = Mapping[str, str] | None
_log = logging.getLogger("steplog")
_VERIFY_PATH = f"{API}/verify-api-key/"
_ASK_TIMEOUT_S = 2.0
_DOWNLOAD_BYTES_MAX = 256 * 1024 * 1024  # of an answer to ``get`` and ``post``: a list of metrics is long
_NO_KEY = "no API key: set STEPLOG_API_KEY, or type: steplog login"
_NO_SERVER = "no server is configured, and none runs on this machine; type: steplog serve, or: steplog login"


@dataclass(frozen=True)
class Account:
    """The account of a key."""

    username: str
    email: str


class TellurioClient:
    """A client of one server, with one key at a time.

    The address defaults to the settings. The key is looked up at the first request: argument of ``login``,
    ``STEPLOG_API_KEY``, ``TELLURIO_API_KEY``, then the one that ``login`` stored for this server.
    Raises ConfigurationError for an address that cannot be used.
    """

    def __init__(
        self, base_url: str | None = None, port: int | str | None = None, *, settings: Settings | None = None
    ) -> None:
        self.settings = _with_address(settings, base_url, port)
        self.account: Account | None = None
        self._key: Secret | None = None
        self._replaced: ReplacedTransport | None = None
        self._looked: deque[Secret | None] = deque(maxlen=1)
        local = local_instance(self.settings.url)
        self._local = None if local is None else LocalServer(self.settings.dir, local)
        if self._local is not None:
            self._local.refresh()
        self._http = HTTPTransport(
            self.settings.url,
            self._key_to_send,
            self.refresh_key,
            self._look_for_key,
            connect_timeout_s=self.settings.connect_timeout_s,
            connections_max=self.settings.connections_max,
            allow_http=self.settings.allow_http,
            local=self._local,
        )

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""
        return self._http.base_url

    @property
    def transport(self) -> Transport:
        """Internal. What the agent sends through."""
        if not any(self.replaced(method) for method in ("GET", "POST", "PATCH")):
            return self._http
        from steplog.network.replaced import ReplacedTransport

        self._replaced = self._replaced or ReplacedTransport(self, self._http)
        return self._replaced

    @property
    def local(self) -> LocalServer | None:
        """Internal: the embedded server, if it was found on this machine."""
        return self._local

    def replaced(self, method: str) -> Callable[..., Any] | None:
        """Internal: what a subclass or its user has put in the place of ``get``, ``post``, ``patch`` or ``delete``."""
        name = method.lower()
        found: Callable[..., Any] = getattr(self, name)
        return None if getattr(found, "__func__", None) is getattr(TellurioClient, name) else found

    def login(self, api_key: str | Secret | None = None, relogin: bool = False) -> Account:
        """Ask the server for the key's account, once; again with ``relogin``, which takes a key.

        A key that is given and accepted is stored (0600) for the next time; one from the environment is not.

        Raises InvalidAPIKeyError for a wrong key, ValueError for ``relogin`` without one, ConfigurationError if there
        is no key or it cannot be sent, ServerUnavailableError without an answer, ``requests.HTTPError`` for any other.
        """
        given = Secret(api_key) if isinstance(api_key, str) else api_key
        del api_key  # so that no traceback shows it
        if relogin and given is None:
            raise ValueError("API key is required for re-login.")
        if given is not None:
            keys.check_key(given, "argument")
        if self.account is not None and not relogin and given in (None, self._key):
            return self.account
        before = self._key
        if self._local is not None:
            self._key = None  # its server may have been started with another one
        self._key = given or self._key_to_send()
        try:
            self.account = _account(self.send("GET", _VERIFY_PATH), self.base_url)
        except InvalidAPIKeyError:
            self._key = before
            raise
        if given is not None:
            self._store(given)
        _log.info("logged in as %s at %s", self.account.username, self.base_url)
        return self.account

    def refresh_key(self) -> bool:
        """Internal. Look for the key again, in the environment and the key file, and return whether it has changed.

        For the agent, after a 401. Never raises.
        """
        try:
            key = self._looked.pop()
        except IndexError:  # nobody has looked, or another thread was faster
            key = self._other_key()
        if key is None or key == self._key:
            return False
        self._key = key
        self.account = None
        return True

    def _look_for_key(self) -> None:
        """Find the key for the next ``refresh_key``, which must not wait for the disk."""
        self._looked.append(self._other_key())

    def _other_key(self) -> Secret | None:
        if self._local is not None:
            return self._local.key if self._local.refresh() else None
        try:
            return keys.other_key(self.settings, self._key)
        except ConfigurationError as error:
            _log.warning("%s", error)
            return None

    def get(self, endpoint: str, *, timeout_s: float | None = None) -> requests.Response:
        """GET ``endpoint``, a path such as ``/api/v0/…``. ``timeout_s`` bounds the whole exchange (default 30 s).

        Raises ServerUnavailableError without a whole answer, or for one of more than 256 MiB, ConfigurationError
        without a key, ValueError for a path that does not begin with "/".
        """
        return self._download("GET", endpoint, None, None, timeout_s)

    def post(
        self,
        endpoint: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> requests.Response:
        """POST ``json`` to ``endpoint``. Raises as ``get`` does, and ValueError for what is not JSON."""
        return self._download("POST", endpoint, json, headers, timeout_s)

    def patch(self, endpoint: str, json: Any = None, *, timeout_s: float | None = None) -> requests.Response:
        """PATCH ``endpoint`` with ``json``. Raises as ``post`` does."""
        return self._exchange("PATCH", endpoint, json, None, timeout_s).to_requests()

    def delete(self, endpoint: str, *, timeout_s: float | None = None) -> requests.Response:
        """DELETE ``endpoint``. Raises as ``get`` does."""
        return self._exchange("DELETE", endpoint, None, None, timeout_s).to_requests()

    def _download(
        self, method: str, endpoint: str, json: Any, headers: _Headers, timeout_s: float | None
    ) -> requests.Response:
        response = self._exchange(method, endpoint, json, headers, timeout_s, _DOWNLOAD_BYTES_MAX)
        if not response.whole:
            most = f"{_DOWNLOAD_BYTES_MAX // 1024**2} MiB"
            raise ServerUnavailableError(f"{self.base_url}: the answer is longer than {most}; ask for a part of it")
        return response.to_requests()

    def send(
        self,
        method: str,
        endpoint: str,
        json: Any = None,
        *,
        headers: _Headers = None,
        timeout_s: float | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Response:
        """Internal: the same without ``requests``, through what is ``replaced``.

        Of an answer at most ``answer_bytes_max`` are read.
        """
        replaced = self.replaced(method)
        if replaced is None:
            return self._exchange(method, endpoint, json, headers, timeout_s, answer_bytes_max)
        from steplog.network.replaced import call

        return call(replaced, _request(method, endpoint, json, headers), self.base_url)

    def _exchange(
        self,
        method: str,
        endpoint: str,
        json: Any,
        headers: _Headers,
        timeout_s: float | None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Response:
        request = _request(method, endpoint, json, headers, answer_bytes_max)
        return self._answered(lambda most_s: self._http.send(request, most_s), timeout_s)

    def stream(
        self,
        method: str,
        endpoint: str,
        json: Any = None,
        *,
        headers: _Headers = None,
        read_timeout_s: float | None = None,
    ) -> Stream:
        """Internal: an answer of any length, whose body is read piece by piece (``network.stream``).

        ``read_timeout_s`` bounds each read (default 30 s, as the head). What is ``replaced`` gives its body at once.
        """
        replaced, request = self.replaced(method), _request(method, endpoint, json, headers)
        if replaced is not None:
            from steplog.network.replaced import call

            response = call(replaced, request, self.base_url)
            return Stream(response, iter((response.body,)))
        each_s = self.settings.exchange_timeout_s if read_timeout_s is None else read_timeout_s
        return self._answered(lambda most_s: self._http.stream(request, most_s, each_s), None)

    def _answered(self, ask: Callable[[float], _T], timeout_s: float | None) -> _T:
        """What ``ask`` returns for the seconds that it has."""
        limit, most_s = time_limit.current(), self.settings.exchange_timeout_s if timeout_s is None else timeout_s
        if limit is not None:
            most_s = min(most_s, limit.left_s())
            if most_s <= 0:
                raise ServerUnavailableError(f"{self.base_url}: not all was answered within {limit.limit_s:g} s")
        answer = ask(most_s)
        if limit is not None:
            limit.answered()
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def __enter__(self) -> TellurioClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TellurioClient({self.base_url!r}{f', {self.account.username!r}' if self.account else ''})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds a key and connections; each process makes its own")

    def _key_to_send(self) -> Secret:
        key = self._key  # once: ``login`` in another thread may take it away
        if key is None and self._local is not None:
            key = self._local.key if self._local.refresh() else None
            if key is None:
                raise ServerUnavailableError(f"{self.base_url}: {NOT_RUNNING}")
        if key is None:
            found = keys.find_key(self.settings)
            if found is None:
                raise ConfigurationError(_NO_KEY)
            key = found[0]
        self._key = key
        return key

    def _store(self, key: Secret) -> None:
        if self._local is not None:  # its state file has the key
            return
        path = keys.key_path(self.settings.dir)
        try:
            keys.store_key(path, self.settings.url, key)
        except (OSError, ConfigurationError) as error:
            reason = error if isinstance(error, ConfigurationError) else error.strerror
            _log.warning("the API key is good and could not be stored in %s: %s", path, reason)


def _request(
    method: str, endpoint: str, json: Any, headers: _Headers, answer_bytes_max: int = ANSWER_BYTES_MAX
) -> Request:
    kind, body = ({}, b"") if json is None else ({"Content-Type": "application/json"}, _encoded(json))
    return Request(method, endpoint, body, {**(headers or {}), **kind}, answer_bytes_max)


def _with_address(settings: Settings | None, base_url: str | None, port: int | str | None) -> Settings:
    if base_url is None and port is None:
        return settings or resolve()
    try:
        address = with_port(base_url or (settings or resolve()).url, port)
        return resolve(url=address) if settings is None else replace(settings, url=canonical_url(address))
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"the server's address: {error}") from None


def _account(response: Response, base_url: str) -> Account:
    # 403: Django REST framework, without WWW-Authenticate.
    if response.status in (401, 403):
        raise InvalidAPIKeyError("Login failed due to invalid API key.")
    if 300 <= response.status < 400:
        raise ConfigurationError(f"{base_url} answers with a redirect; the address of the server is another one")
    if response.status != 200:
        raise response.http_error()
    try:
        told = response.json()
        return Account(username=str(told["username"]), email=str(told["email"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ServerUnavailableError(f"{base_url}: not the answer of a run server") from None


def _encoded(json: Any) -> bytes:
    try:
        return json_text.dumps(json, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {str(error)[:200]}") from None


def is_configured(settings: Settings) -> bool:
    """Whether a server or a key is configured. Raises as ``keys.find_key`` does."""
    return sources(settings)["url"] != "default" or keys.find_key(settings) is not None


_clients: dict[tuple[int, Settings], TellurioClient] = {}


def _client_of(settings: Settings) -> TellurioClient:
    paths = (os.getpid(), settings)
    return _clients.get(paths) or _clients.setdefault(paths, TellurioClient(settings=settings))


class LocalServers:
    """Internal: the embedded servers on this machine, looked for at most once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: list[TellurioClient] | None = None
        self._silent: set[TellurioClient] = set()

    def clients(self) -> list[TellurioClient]:
        """Their clients, the default one first (``network.discovery``)."""
        if self._found is None:
            found = discover(self._settings.dir)
            self._found = [_client_of(_local_settings(self._settings, server.instance)) for server in found]
        return self._found

    def at(self, url: str) -> TellurioClient | None:
        """The one with this address, or of this name."""
        return next((client for client in self.clients() if url in (client.base_url, client.settings.url)), None)

    def with_path(self, path: str) -> TellurioClient | None:
        """The one that answers GET ``path`` with 200. One that does not answer in two seconds is not asked again."""
        for client in self.clients():
            try:
                if client not in self._silent and client.send("GET", path, timeout_s=_ASK_TIMEOUT_S).status == 200:
                    return client
            except ServerUnavailableError:
                self._silent.add(client)
        return None

    def default(self) -> TellurioClient:
        """As ``get_default_client``."""
        settings = self._settings
        if (os.getpid(), settings) in _clients or is_configured(settings):
            return _client_of(settings)
        if not self.clients():
            raise ConfigurationError(_NO_SERVER)
        return self.clients()[0]


def _local_settings(settings: Settings, instance: str) -> Settings:
    return replace(settings, url=local_url(instance), api_key=None)


def find_local(settings: Settings | None = None) -> TellurioClient | None:
    """A client of the embedded server on this machine, if one runs: of several, of the one that has run longest."""
    return next(iter(LocalServers(settings or resolve()).clients()), None)


def get_default_client(settings: Settings | None = None) -> TellurioClient:
    """The client that is used if none is passed, one per process and settings.

    Without a configured server or key it is one of the embedded server on this machine. Raises ConfigurationError if
    none runs, or if a setting cannot be used.
    """
    return LocalServers(settings or resolve()).default()


def client_for(settings: Settings, base_url: str, local: LocalServers | None = None) -> TellurioClient | None:
    """A client of the server that a manifest names, or None without a usable key. Never raises.

    The configured key is for the configured server. Others get the key that ``login`` stored, the embedded one its own.
    """
    local = local or LocalServers(settings)
    if local_instance(base_url) is not None:
        return local.at(base_url)
    try:
        url = canonical_url(base_url)
        if url == settings.url:
            return _client_of(settings) if keys.find_key(settings) else None
        stored = keys.stored_key(keys.key_path(settings.dir), url)
        if stored is not None:
            return _client_of(replace(settings, url=url, api_key=stored))
    except ValueError as error:
        _log.debug("no key for %s: %s", base_url, error)
        return None
    return local.at(url)


def later_client(settings: Settings, base_url: str) -> TellurioClient | None:
    """Internal: a client of an embedded server of this machine that does not run now, and may come back."""
    local = local_instance(base_url)
    return None if local is None else _client_of(_local_settings(settings, local))


def login(api_key: str | None = None, relogin: bool = False) -> Account:
    """``TellurioClient.login`` of the default client."""
    given = None if api_key is None else Secret(api_key)
    del api_key
    settings = resolve()
    # A given key is for the configured server, be that the default one.
    client = get_default_client(settings) if given is None else _client_of(settings)
    return client.login(given, relogin)
