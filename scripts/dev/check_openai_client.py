#!/usr/bin/env python3
"""Talks to `talon serve` with the official OpenAI Python client.

    pip install openai
    scripts/dev/check_openai_client.py [TALON] [VERIFIER] [DRAFTER]

Starts the server on a free port with an API key, asks for chats and completions, whole and streamed,
looks at errors and metrics, and stops it with SIGTERM. Exits with 1 at the first thing that is wrong.
"""
import asyncio
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFAULTS = [ROOT / "build/release/bin/talon", ROOT / "models/demo/verifier", ROOT / "models/demo/drafter"]
KEY = "secret"
MESSAGES = [{"role": "user", "content": "Tell me a story about a dog."}]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(talon, verifier, drafter, port):
    config = {"model": str(drafter), "num_speculative_tokens": 3, "method": "eagle3"}
    server = subprocess.Popen([str(talon), "serve", str(verifier), "--port", str(port), "--api-key", KEY,
                               "--served-model-name", "demo", "--speculative-config", json.dumps(config),
                               "--disable-log-stats"], stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
            return server
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None:
                sys.exit(server.stderr.read())
            time.sleep(0.1)
    sys.exit("the server did not become ready")


def check(condition, what):
    print(("ok    " if condition else "WRONG ") + what)
    if not condition:
        sys.exit(1)


def refused(error, call):
    try:
        call()
    except error as refusal:
        return refusal
    return None


def check_chat(client):
    whole = client.chat.completions.create(model="demo", messages=MESSAGES, temperature=0, max_tokens=40)
    check(whole.choices[0].message.content and whole.usage.completion_tokens > 0, "chat")
    check(whole.choices[0].finish_reason in ("stop", "length"), "chat: finish_reason")
    stream = client.chat.completions.create(model="demo", messages=MESSAGES, temperature=0, max_tokens=40,
                                            stream=True, stream_options={"include_usage": True})
    text, usage = "", None
    for chunk in stream:
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    check(text == whole.choices[0].message.content, "chat: the stream is the same text")
    check(usage == whole.usage, "chat: the stream's usage")
    seeded = [client.chat.completions.create(model="demo", messages=MESSAGES, seed=7, max_tokens=40)
              .choices[0].message.content for _ in range(2)]
    check(seeded[0] == seeded[1], "chat: the same seed, the same text")
    many = client.chat.completions.create(model="demo", messages=MESSAGES, n=3, max_tokens=10)
    check([choice.index for choice in many.choices] == [0, 1, 2], "chat: n = 3")
    figures = client.chat.completions.create(
        model="demo", messages=MESSAGES, temperature=0, max_tokens=40,
        extra_body={"per_request_spec_decode_metrics": "summary"}).model_extra["metrics"]
    check(figures["speculative_decoding"]["num_spec_steps"] > 0, "chat: acceptance figures")


def check_completions(client):
    text = client.completions.create(model="demo", prompt="The dog", temperature=0, max_tokens=20)
    ids = client.completions.create(model="demo", temperature=0, max_tokens=20,
                                    prompt=tokenize(client, "The dog"))
    check(text.choices[0].text == ids.choices[0].text, "completions: text and token ids")
    stopped = client.completions.create(model="demo", prompt="The dog", temperature=0, max_tokens=20,
                                        stop=text.choices[0].text[4:6])
    check(stopped.choices[0].text == text.choices[0].text.split(text.choices[0].text[4:6])[0],
          "completions: stop string")
    stream = client.completions.create(model="demo", prompt="The dog", temperature=0, max_tokens=20, stream=True)
    check("".join(chunk.choices[0].text for chunk in stream) == text.choices[0].text, "completions: stream")
    echo = client.completions.create(model="demo", prompt="The dog", temperature=0, max_tokens=20, echo=True)
    check(echo.choices[0].text == "The dog" + text.choices[0].text, "completions: echo")


def tokenize(client, text):
    body = json.dumps({"prompt": text}).encode()
    request = urllib.request.Request(str(client.base_url).replace("/v1/", "/tokenize"), body,
                                     {"Authorization": f"Bearer {KEY}"})
    return json.load(urllib.request.urlopen(request))["tokens"]


def check_errors(client):
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(
        model="demo", messages=MESSAGES, temperature=9))
    check(error is not None and error.param == "temperature", "errors: 400 names the field")
    check(refused(openai.NotFoundError, lambda: client.chat.completions.create(
        model="gpt-4", messages=MESSAGES)) is not None, "errors: an unknown model")
    check(refused(openai.BadRequestError, lambda: client.chat.completions.create(
        model="demo", messages=MESSAGES, response_format={"type": "json_object"})) is not None,
          "errors: response_format")
    stranger = client.with_options(api_key="wrong")
    check(refused(openai.AuthenticationError, stranger.models.list) is not None, "errors: a wrong key")
    check([model.id for model in client.models.list()] == ["demo"], "models")


async def check_concurrent(base_url):
    client = openai.AsyncOpenAI(base_url=base_url, api_key=KEY)

    async def ask(i):
        answer = await client.chat.completions.create(
            model="demo", temperature=0, max_tokens=30,
            messages=[{"role": "user", "content": f"Tell me about the number {i}."}])
        return answer.choices[0].message.content

    together = await asyncio.gather(*(ask(i) for i in range(8)))
    alone = [await ask(i) for i in range(8)]
    check(together == alone, "8 concurrent answers equal those alone")


def main():
    arguments = sys.argv[1:] + [str(path) for path in DEFAULTS[len(sys.argv) - 1:]]
    port = free_port()
    server = start(*arguments, port)
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
        check_chat(client)
        check_completions(client)
        check_errors(client)
        asyncio.run(check_concurrent(client.base_url))
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    check(code == 0, "SIGTERM ends it with 0")


if __name__ == "__main__":
    main()
