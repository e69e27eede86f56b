"""Tokens that must be refused: each is right but for the one thing that its name says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

Forgery = Callable[["Forge"], str]

STRANGER = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
EVIL = "https://evil.example/keys"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64_json(value: Any) -> str:
    return b64(json.dumps(value).encode())


def uint(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def jwk(key: rsa.RSAPublicKey, **over: Any) -> dict[str, Any]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": uint(numbers.n), "e": uint(numbers.e), **over}


@dataclass(frozen=True)
class Forge:
    """What an attacker may not have, for the test to forge with: an issuer's key and its words.

    ``other`` makes a good token of the other issuer of the same service.
    """

    key: rsa.RSAPrivateKey
    key_id: str
    claims: dict[str, Any]
    other: Callable[[], str] = lambda: ""

    def now(self, **over: Any) -> dict[str, Any]:
        """The claims of a good token; *over* replaces, or removes where it is None."""
        now = int(time.time())
        times = {"iat": now - 5, "nbf": now - 5, "exp": now + 3600}
        return {k: v for k, v in {**self.claims, **times, **over}.items() if v is not None}

    def header(self, **over: Any) -> dict[str, Any]:
        good = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        return {k: v for k, v in {**good, **over}.items() if v is not None}

    def seal(self, head: str, body: str, key: rsa.RSAPrivateKey | None = None) -> str:
        """Sign two parts as they are, however odd."""
        text = f"{head}.{body}"
        signature = (key or self.key).sign(
            text.encode("latin-1"), padding.PKCS1v15(), hashes.SHA256()
        )
        return f"{text}.{b64(signature)}"

    def sign(self, **over: Any) -> str:
        """A token whose claims differ, signed as it should be."""
        return self.seal(b64_json(self.header()), b64_json(self.now(**over)))

    def sign_headed(self, **over: Any) -> str:
        """A token whose header differs, signed as it should be."""
        return self.seal(b64_json(self.header(**over)), b64_json(self.now()))

    def sign_raw(self, head: bytes | None = None, body: bytes | None = None) -> str:
        """A token with one part of any bytes, signed as it should be."""
        return self.seal(
            b64_json(self.header()) if head is None else b64(head),
            b64_json(self.now()) if body is None else b64(body),
        )

    def good(self) -> str:
        return self.sign()

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def public_der(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )


def unsigned(alg: Any, tail: str = "") -> Forgery:
    return lambda f: f"{b64_json(f.header(alg=alg))}.{b64_json(f.now())}.{tail}"


def hs(secret: Callable[[Forge], bytes], alg: str = "HS256") -> Forgery:
    """The confusion of algorithms: something public as the secret of an HMAC."""

    def forge(f: Forge) -> str:
        text = f"{b64_json(f.header(alg=alg))}.{b64_json(f.now())}"
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
        return f"{text}.{b64(hmac.new(secret(f), text.encode(), digest).digest())}"

    return forge


def other_algorithm(alg: str, digest: hashes.HashAlgorithm, pss: bool = False) -> Forgery:
    def forge(f: Forge) -> str:
        text = f"{b64_json(f.header(alg=alg))}.{b64_json(f.now())}"
        scheme = (
            padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else padding.PKCS1v15()
        )
        return f"{text}.{b64(f.key.sign(text.encode(), scheme, digest))}"

    return forge


def es256(f: Forge) -> str:
    text = f"{b64_json(f.header(alg='ES256'))}.{b64_json(f.now())}"
    return f"{text}.{b64(CURVE.sign(text.encode(), ec.ECDSA(hashes.SHA256())))}"


def claim(**over: Any) -> Forgery:
    return lambda f: f.sign(**over)


def changed(name: str, change: Callable[[Any], Any]) -> Forgery:
    return lambda f: f.sign(**{name: change(f.claims[name])})


def headed(**over: Any) -> Forgery:
    return lambda f: f.sign_headed(**over)


def own_key(**over: Any) -> Forgery:
    """A header that brings the stranger's key, and the stranger's signature."""

    def forge(f: Forge) -> str:
        return f.seal(b64_json(f.header(**over)), b64_json(f.now()), STRANGER)

    return forge


def at(**moments: float) -> Forgery:
    """Times given relative to now."""
    return lambda f: f.sign(**{k: time.time() + v for k, v in moments.items()})


def body_text(name: str, literal: str) -> Forgery:
    """One claim as a literal that ``json.dumps`` would not write."""

    def forge(f: Forge) -> str:
        claims = f.now(**{name: "@"})
        return f.sign_raw(body=json.dumps(claims).replace('"@"', literal).encode())

    return forge


def twice(f: Forge, name: str, first: Any) -> str:
    claims = json.dumps(f.now())
    return f.sign_raw(body=f"{{{json.dumps(name)}: {json.dumps(first)}, {claims[1:]}".encode())


def part_changed(index: int, change: Callable[[str], str]) -> Forgery:
    """A good token, with one part rewritten after it was signed."""

    def forge(f: Forge) -> str:
        parts = f.good().split(".")
        parts[index] = change(parts[index])
        return ".".join(parts)

    return forge


def last_bits(part: str) -> str:
    """Another spelling of the same bytes: the bits that the last letter has to spare."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + letters[letters.index(part[-1]) ^ 1]


FORGERIES: dict[str, Forgery] = {
    # The algorithm is ours to choose.
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg nOnE": unsigned("nOnE"),
    "alg NONE with a signature": unsigned("NONE", "c2ln"),
    "alg none over a good signature": lambda f: (
        f"{b64_json(f.header(alg='none'))}.{'.'.join(f.good().split('.')[1:])}"
    ),
    "alg empty": headed(alg=""),
    "alg absent": headed(alg=None),
    "alg null": lambda f: f.seal(b64_json({**f.header(), "alg": None}), b64_json(f.now())),
    "alg array": headed(alg=["RS256"]),
    "alg lower case": headed(alg="rs256"),
    "alg with a space": headed(alg="RS256 "),
    "HS256 with the public PEM": hs(Forge.public_pem),
    "HS256 with the public PEM, no newline": hs(lambda f: f.public_pem().strip()),
    "HS256 with the public DER": hs(Forge.public_der),
    "HS256 with the modulus as text": hs(lambda f: jwk(f.key.public_key())["n"].encode()),
    "HS256 with the JWK as text": hs(lambda f: json.dumps(jwk(f.key.public_key())).encode()),
    "HS256 with nothing": hs(lambda f: b""),
    "HS256 with the key id": hs(lambda f: f.key_id.encode()),
    "HS384 with the public PEM": hs(Forge.public_pem, "HS384"),
    "HS512 with the public PEM": hs(Forge.public_pem, "HS512"),
    "RS384 by the right key": other_algorithm("RS384", hashes.SHA384()),
    "RS512 by the right key": other_algorithm("RS512", hashes.SHA512()),
    "PS256 by the right key": other_algorithm("PS256", hashes.SHA256(), pss=True),
    "RS256 over SHA-512": other_algorithm("RS256", hashes.SHA512()),
    "RS256 over SHA-1": other_algorithm("RS256", hashes.SHA1()),
    "RS256 with PSS": other_algorithm("RS256", hashes.SHA256(), pss=True),
    "ES256": es256,
    # Who issued it.
    "iss of a stranger": claim(iss="https://evil.example"),
    "iss absent": claim(iss=None),
    "iss empty": claim(iss=""),
    "iss array": changed("iss", lambda v: [v]),
    "iss object": changed("iss", lambda v: {v: v}),
    "iss a prefix": changed("iss", lambda v: v[:-1]),
    "iss with more behind": changed("iss", lambda v: v + ".evil.example"),
    "iss with a slash": changed("iss", lambda v: v + "/"),
    "iss with more before": changed("iss", lambda v: "https://evil.example/?" + v),
    "iss in capitals": changed("iss", str.upper),
    "iss with a space": changed("iss", lambda v: v + " "),
    "iss with a NUL": changed("iss", lambda v: v + "\x00"),
    "iss over http": changed("iss", lambda v: v.replace("https", "http")),
    # Whom it is for.
    "aud of another application": claim(aud="00000000-0000-4000-8000-000000000000"),
    "aud absent": claim(aud=None),
    "aud empty": claim(aud=""),
    "aud array with ours": changed("aud", lambda v: [v]),
    "aud array with ours and another": changed("aud", lambda v: ["x", v]),
    "aud number": claim(aud=0),
    "aud a prefix": changed("aud", lambda v: v[:-1]),
    "aud with more behind": changed("aud", lambda v: v + "0"),
    "aud in capitals": changed("aud", str.upper),
    "aud any": claim(aud="*"),
    # Which tenant it speaks for.
    "tid absent": claim(tid=None),
    "tid empty": claim(tid=""),
    "tid blank": claim(tid=" "),
    "tid array": changed("tid", lambda v: [v]),
    "tid object": changed("tid", lambda v: {"id": v}),
    "tid number": claim(tid=7),
    "tid with a NUL": changed("tid", lambda v: v + "\x00"),
    "tid as a path": changed("tid", lambda v: "../" + v),
    "tid huge": changed("tid", lambda v: v * 20),
    # When it holds.
    "exp exactly now, less the leeway": at(exp=-60),
    "exp long ago": at(exp=-86_400),
    "exp absent": claim(exp=None),
    "exp zero": claim(exp=0),
    "exp negative": claim(exp=-1),
    "exp text": lambda f: f.sign(exp=str(int(time.time()) + 3600)),
    "exp true": claim(exp=True),
    "exp array": lambda f: f.sign(exp=[int(time.time()) + 3600]),
    "exp NaN": body_text("exp", "NaN"),
    "exp Infinity": body_text("exp", "Infinity"),
    "exp 1e999": body_text("exp", "1e999"),
    "exp of a thousand digits": body_text("exp", "9" * 1000),
    "exp of ten thousand digits": body_text("exp", "9" * 10_000),
    "exp a float in the past": at(exp=-60.5),
    "exp in another age": claim(exp=10**15),
    "nbf in the future": at(nbf=3600),
    "nbf absent": claim(nbf=None),
    "nbf text": claim(nbf="0"),
    "nbf NaN": body_text("nbf", "NaN"),
    "nbf minus Infinity": body_text("nbf", "-Infinity"),
    "nbf negative": claim(nbf=-1),
    "iat in the future": at(iat=3600),
    "iat NaN": body_text("iat", "NaN"),
    "iat text": claim(iat="now"),
    # A key, or a rule, of its own.
    "crit": headed(crit=["exp"]),
    "crit empty": headed(crit=[]),
    "crit b64": headed(crit=["b64"], b64=True),
    "crit unknown": headed(crit=["x-evil"], **{"x-evil": True}),
    "b64 false": headed(b64=False),
    "zip": headed(zip="DEF"),
    "enc": headed(enc="A128GCM"),
    "jku": headed(jku=EVIL),
    "jku and the key behind it": own_key(jku=EVIL),
    "jwk": lambda f: f.sign_headed(jwk=jwk(f.key.public_key())),
    "jwk and its signature": own_key(jwk=jwk(STRANGER.public_key())),
    "jwk, its signature and its id": own_key(
        jwk=jwk(STRANGER.public_key(), kid="mine"), kid="mine"
    ),
    "jwk for symmetric": own_key(jwk={"kty": "oct", "k": "AAAA"}),
    "x5u": headed(x5u="https://evil.example/cert.pem"),
    "x5u and its signature": own_key(x5u="https://evil.example/cert.pem"),
    "x5c": headed(x5c=["MIIB"]),
    "x5c and its signature": own_key(x5c=["MIIB"]),
    "x5t instead of kid": lambda f: f.sign_headed(kid=None, x5t=f.key_id),
    "x5t array": headed(x5t=["abc"]),
    "x5t#S256 object": headed(**{"x5t#S256": {}}),
    "cty JWT": headed(cty="JWT"),
    "typ JWE": headed(typ="JWE"),
    "typ array": headed(typ=["JWT"]),
    "jku twice over a null": headed(jku=[None]),
    # Which key it names.
    "kid absent": headed(kid=None),
    "kid empty": headed(kid=""),
    "kid null": lambda f: f.seal(b64_json({**f.header(), "kid": None}), b64_json(f.now())),
    "kid array": lambda f: f.sign_headed(kid=[f.key_id]),
    "kid object": lambda f: f.sign_headed(kid={"kid": f.key_id}),
    "kid number": headed(kid=1),
    "kid unknown": headed(kid="nobody"),
    "kid unknown, another's signature": own_key(kid="mine"),
    "kid with a path": lambda f: f.sign_headed(kid="../../" + f.key_id),
    "kid of a file": headed(kid="../../../../dev/null"),
    "kid of an address": headed(kid=EVIL),
    "kid with SQL": headed(kid="x' UNION SELECT 'AAAA';--"),
    "kid with a command": headed(kid="x|/bin/true"),
    "kid with a NUL": lambda f: f.sign_headed(kid=f.key_id + "\x00"),
    "kid with a newline": lambda f: f.sign_headed(kid=f.key_id + "\n"),
    "kid with half a character": headed(kid="\ud800"),
    "kid in another case": lambda f: f.sign_headed(kid=f.key_id.swapcase()),
    "kid with a space": lambda f: f.sign_headed(kid=" " + f.key_id),
    "kid a prefix": lambda f: f.sign_headed(kid=f.key_id[:-1]),
    "kid huge": headed(kid="k" * 4000),
    # Whose signature it is.
    "signature of another key": own_key(),
    "signature of a weak key": lambda f: f.seal(b64_json(f.header()), b64_json(f.now()), WEAK),
    "signature absent": part_changed(2, lambda part: ""),
    "signature a byte short": part_changed(
        2, lambda p: b64(base64.urlsafe_b64decode(p + "==")[:-1])
    ),
    "signature a byte long": part_changed(
        2, lambda p: b64(base64.urlsafe_b64decode(p + "==") + b"\0")
    ),
    "signature with a zero before": part_changed(
        2, lambda p: b64(b"\0" + base64.urlsafe_b64decode(p + "=="))
    ),
    "signature of zeros": part_changed(2, lambda p: b64(bytes(256))),
    "signature one": part_changed(2, lambda p: b64(bytes(255) + b"\1")),
    "signature of another token": lambda f: (
        f"{f.sign(exp=int(time.time()) + 60).rpartition('.')[0]}.{f.good().split('.')[2]}"
    ),
    "signature spelt otherwise": part_changed(2, last_bits),
    "signature padded": part_changed(2, lambda p: p + "=="),
    "signature with a character outside": part_changed(2, lambda p: p[:9] + "!" + p[9:]),
    "signature in the other base64": lambda f: plus_for_minus(f),
    "claims changed after": part_changed(1, lambda p: b64_json({"iss": "x"})),
    "claims changed in their spelling": part_changed(1, lambda p: p + "="),
    "header changed after": part_changed(
        0, lambda p: b64(b" " + base64.urlsafe_b64decode(p + "=="))
    ),
    # What it is made of.
    "duplicate alg": lambda f: f.sign_raw(
        head=json.dumps(f.header()).replace('{"alg"', '{"alg": "none", "alg"').encode()
    ),
    "duplicate kid": lambda f: f.sign_raw(
        head=json.dumps(f.header()).replace('{"alg"', '{"kid": "evil", "alg"').encode()
    ),
    "duplicate aud": lambda f: twice(f, "aud", "another"),
    "duplicate exp": lambda f: twice(f, "exp", 1),
    "duplicate member, the same": lambda f: twice(f, "iss", f.claims["iss"]),
    "nested JWT": lambda f: f.sign_raw(body=f.good().encode()),
    "nested JWT as JSON text": lambda f: f.sign_raw(body=json.dumps(f.good()).encode()),
    "claims array": lambda f: f.sign_raw(body=json.dumps([f.now()]).encode()),
    "claims null": lambda f: f.sign_raw(body=b"null"),
    "claims empty": lambda f: f.sign_raw(body=b"{}"),
    "claims no JSON": lambda f: f.sign_raw(body=b"{"),
    "claims with more behind": lambda f: f.sign_raw(body=json.dumps(f.now()).encode() + b"{}"),
    "claims with a byte order mark": lambda f: f.sign_raw(
        body=b"\xef\xbb\xbf" + json.dumps(f.now()).encode()
    ),
    "claims in UTF-16": lambda f: f.sign_raw(body=json.dumps(f.now()).encode("utf-16")),
    "claims not UTF-8": lambda f: f.sign_raw(body=json.dumps(f.now()).encode() + b"\xff"),
    "claims deep": lambda f: f.sign_raw(body=b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "header array": lambda f: f.sign_raw(head=json.dumps([f.header()]).encode()),
    "header no JSON": lambda f: f.sign_raw(head=b"{"),
    "header not UTF-8": lambda f: f.sign_raw(head=b"\xff" + json.dumps(f.header()).encode()),
    "header deep": lambda f: f.sign_raw(head=b"[" * 9000),
    # How it is put together.
    "payload detached": part_changed(1, lambda part: ""),
    "header empty": part_changed(0, lambda part: ""),
    "JSON serialisation": lambda f: json.dumps({"payload": f.good(), "signatures": []}),
    "one part": lambda f: f.good().split(".")[0],
    "two parts": lambda f: f.good().rpartition(".")[0],
    "four parts": lambda f: f.good() + ".e30",
    "five parts": lambda f: f.good() + ".e30.e30",
    "a dot behind": lambda f: f.good() + ".",
    "a dot before": lambda f: "." + f.good(),
    "dots only": lambda f: "..",
    "a space within": part_changed(1, lambda p: p[:8] + " " + p[8:]),
    "a tab within": part_changed(1, lambda p: p[:8] + "\t" + p[8:]),
    "a hard space around": lambda f: "\xa0" + f.good() + "\xa0",
    "quoted": lambda f: f'"{f.good()}"',
    "two tokens": lambda f: f"{f.good()}, {f.good()}",
    "two tokens and a space": lambda f: f"{f.good()} {f.good()}",
    "letters beyond ASCII": part_changed(1, lambda p: p + "\xe9"),
    "oversized": lambda f: f.sign(padding="x" * 20_000),
    "no token at all": lambda f: "a" * 200,
    # The service's other token: same house, another key, another purpose.
    "a token of the other issuer": lambda f: f.other(),
    "the other's claims by this key": lambda f: f.seal(
        b64_json(f.header()), f.other().split(".")[1]
    ),
    "the other's token with this key's id": lambda f: (
        f"{b64_json(f.header())}.{'.'.join(f.other().split('.')[1:])}"
    ),
}


def plus_for_minus(f: Forge) -> str:
    """A good token whose signature is spelt in the alphabet with plus and slash."""
    while True:
        head, body, tail = f.sign(jti=str(time.time_ns())).split(".")
        if {"-", "_"} & set(tail):
            return f"{head}.{body}.{tail.replace('-', '+').replace('_', '/')}"


HEADERS: dict[str, Callable[[str], str | None]] = {
    "no header": lambda good: None,
    "empty header": lambda good: "",
    "no scheme": lambda good: good,
    "scheme alone": lambda good: "Bearer",
    "another scheme": lambda good: f"Basic {good}",
    "a longer scheme": lambda good: f"Bearer2 {good}",
    "scheme with a colon": lambda good: f"Bearer: {good}",
    "scheme twice": lambda good: f"Bearer Bearer {good}",
    "scheme after": lambda good: f"{good} Bearer",
    "a tab for the space": lambda good: f"Bearer\t{good}",
    "as a parameter": lambda good: f'Bearer token="{good}"',
}
"""Ways to write the Authorization header in which even a good token is none."""
