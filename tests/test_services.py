"""Services: patience, spending, keys that stay secret, media that stay here, and answers that are checked."""

import io
import json
import logging
import pickle
import subprocess
import time
import wave
from collections.abc import Iterator
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.families.tiny import clip, picture, sound
from tests.service_servers import KEY, Asked, Fault, ServiceServer
from transforms.encoders import spending
from transforms.encoders.catalog import card
from transforms.encoders.encoder import Encoder
from transforms.encoders.network import ClipInput
from transforms.encoders.outgoing import jpeg_of, mp4_of, wav_of
from transforms.encoders.registry import handler, loaded
from transforms.errors import BadVectors, MissingKey, ReelvecError, ServiceFailed, SpendingCap, UsageError
from transforms.records import Audio

MODELS = {
    "openai": ("text-embedding-3-small", "/v1", 48, "OPENAI_API_KEY"),
    "gemini": ("gemini-embedding-2", "", 48, "GEMINI_API_KEY"),
    "cohere": ("embed-v4.0", "", 48, "CO_API_KEY"),
    "twelvelabs": ("marengo3.5", "/v1.3", 48, "TWELVE_LABS_API_KEY"),
}
DOWN = Fault(status=503)


@pytest.fixture
def server() -> Iterator[ServiceServer]:
    """One of its own for each test, so that nothing that a process keeps is shared between them."""
    one = ServiceServer()
    yield one
    one.close()


@pytest.fixture(params=MODELS)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for *_, variable in MODELS.values():
        monkeypatch.setenv(variable, KEY)


def name_of(family: str, server: ServiceServer, **options: object) -> str:
    model, path, dimensions, _ = MODELS[family]
    asked: dict[str, object] = {"dimensions": dimensions, "endpoint": server.url + path, "wait_msec": 1, **options}
    if family == "openai":
        asked.setdefault("send_dimensions", "true")
    return f"{family}:{model}?" + "&".join(f"{key}={value}" for key, value in asked.items())


def encoder(family: str, server: ServiceServer, **options: object) -> Encoder:
    return loaded(name_of(family, server, **options), device="cpu").model


def waits_seconds(asked: list[Asked]) -> list[float]:
    return [after.at_seconds - before.at_seconds for before, after in pairwise(asked)]


def test_a_service_that_recovers_is_asked_again(family: str, server: ServiceServer):
    server.faults = [DOWN, Fault(status=500, body="<html>"), Fault(status=429)]
    (vector,) = encoder(family, server).texts(["a cat"])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert len(server.asked) == 4


def test_it_is_not_asked_for_ever(family: str, server: ServiceServer):
    server.always = DOWN
    with pytest.raises(ServiceFailed, match=r"3 times in a row.*503"):
        encoder(family, server, attempts=3).texts(["a cat"])
    assert len(server.asked) == 3


def test_a_service_is_left_alone_for_as_long_as_it_says(family: str, server: ServiceServer):
    server.faults = [Fault(status=429, headers={"Retry-After": "1"})]
    encoder(family, server).texts(["a cat"])
    assert waits_seconds(server.asked)[0] >= 1.0


def test_a_date_to_come_back_at_is_understood(server: ServiceServer):
    server.faults = [Fault(status=503, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)})]
    encoder("cohere", server).texts(["a cat"])
    assert waits_seconds(server.asked)[0] >= 0.9


def test_a_service_that_wants_hours_is_not_waited_for(family: str, server: ServiceServer):
    server.always = Fault(status=429, headers={"Retry-After": "7200"})
    with pytest.raises(ServiceFailed, match="7200 s"):
        encoder(family, server).texts(["a cat"])
    assert len(server.asked) == 1


def test_waits_grow(server: ServiceServer):
    server.faults = [DOWN, DOWN, DOWN]
    encoder("openai", server, wait_msec=60).texts(["a cat"])
    first, _, third = waits_seconds(server.asked)
    assert first >= 0.03 and third >= 0.12


def test_a_spent_quota_is_not_asked_again(server: ServiceServer):
    server.always = Fault(status=429, body='{"error": {"message": "no credit", "code": "insufficient_quota"}}')
    with pytest.raises(ServiceFailed, match="no credit"):
        encoder("openai", server).texts(["a cat"])
    assert len(server.asked) == 1


def test_a_late_answer_is_asked_for_again(family: str, server: ServiceServer):
    server.faults = [Fault(late_seconds=1.0)]
    encoder(family, server, timeout_msec=250).texts(["a cat"])
    assert len(server.asked) == 2


def test_answers_that_never_come_end_in_an_outage(family: str, server: ServiceServer):
    server.always = Fault(late_seconds=0.6)
    with pytest.raises(ServiceFailed, match="no answer"):
        encoder(family, server, timeout_msec=200, attempts=2).texts(["a cat"])


def test_nobody_there_is_an_outage(family: str, server: ServiceServer):
    model = encoder(family, server, attempts=2)
    server.close()
    with pytest.raises(ServiceFailed, match="2 times in a row"):
        model.texts(["a cat"])


def test_a_refused_key_is_said_at_once_and_names_its_variable(
    family: str, server: ServiceServer, monkeypatch: pytest.MonkeyPatch
):
    variable = MODELS[family][3]
    monkeypatch.setenv(variable, "another-key-98765")
    with pytest.raises(MissingKey, match=variable) as caught:
        encoder(family, server).texts(["a cat"])
    assert "another-key-98765" not in str(caught.value)
    assert len(server.asked) == 1


def test_gemini_calls_a_wrong_key_a_bad_request(server: ServiceServer):
    server.always = Fault(status=400, body='{"error": {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}}')
    with pytest.raises(MissingKey, match="GEMINI_API_KEY"):
        encoder("gemini", server).texts(["a cat"])


def test_a_forbidden_model_is_said_at_once(family: str, server: ServiceServer):
    server.always = Fault(status=403)
    with pytest.raises(UsageError, match="not open to this key"):
        encoder(family, server).texts(["a cat"])
    assert len(server.asked) == 1


def test_a_refused_request_is_not_asked_again(family: str, server: ServiceServer):
    server.always = Fault(status=400, body='{"error": {"message": "too long"}, "message": "too long"}')
    with pytest.raises(ServiceFailed, match="too long"):
        encoder(family, server).texts(["a cat"])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", ["<html>welcome</html>", "[1, 2", "{}", '{"data": [{"embedding": "x", "index": 0}]}', "null"]
)
def test_garbage_is_an_outage(family: str, server: ServiceServer, body: str):
    server.always = Fault(body=body)
    with pytest.raises(ServiceFailed, match="vectors"):
        encoder(family, server).texts(["a cat"])


def test_the_wrong_dimension_is_said(family: str, server: ServiceServer):
    server.always = Fault(spoil="short")
    with pytest.raises(BadVectors, match=r"\(47,\).*dimensions=48"):
        encoder(family, server).texts(["a cat"])


def test_vectors_that_are_no_numbers_are_stopped(family: str, server: ServiceServer):
    server.always = Fault(spoil="nan")
    with pytest.raises((BadVectors, ServiceFailed), match=r"not finite|vectors"):
        encoder(family, server).texts(["a cat"])


def test_a_vector_that_is_missing_is_noticed(family: str, server: ServiceServer):
    server.always = Fault(spoil="missing")
    with pytest.raises(ServiceFailed, match=r"0 vectors for 1|something else"):
        encoder(family, server).texts(["a cat"])


def test_without_a_key_nothing_is_sent(family: str, server: ServiceServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(MODELS[family][3])
    with pytest.raises(MissingKey, match=MODELS[family][3]):
        encoder(family, server)
    assert not server.asked


def test_another_variable_holds_the_key(server: ServiceServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    assert encoder("openai", server, key_variable="NVIDIA_API_KEY").texts(["a cat"])
    with pytest.raises(MissingKey, match="JINA_API_KEY"):
        encoder("openai", server, key_variable="JINA_API_KEY")


def test_an_endpoint_without_keys_needs_none(server: ServiceServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    model = encoder("openai", server, key_variable="none")
    with pytest.raises(MissingKey, match="no variable"):  # this server wants one after all
        model.texts(["a cat"])


@pytest.mark.parametrize(
    "options",
    [
        {"key_variable": "sk-abc123"},
        {"endpoint": "https://user:sk-abc123@host/v1"},
        {"endpoint": "ftp://sk-abc123"},
        {"endpoint": "https://host/v1?token=sk-abc123"},
        {"endpoint": "https://host/v1#sk-abc123"},
        {"api_key": "sk-abc123"},
        {"key_variable": "sk-abc123", "attempts": 0},
        {"query_prompt": "sk-abc123", "send_media": "maybe"},
        {"query_fields": "api_key:sk-abc123"},
        {"document_fields": "Authorization:sk-abc123"},
        {"document_fields": "user:sk-abc123,access-token"},
        {"document_fields": "x_api_token:sk-abc123"},
    ],
)
def test_a_key_in_a_name_is_refused_without_repeating_it(server: ServiceServer, options: dict[str, str]):
    with pytest.raises(UsageError) as caught:
        card(name_of("openai", server, **options))
    assert "sk-abc123" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-\u043a\u043b\u044e\u0447", "sk-a\nb", "sk-a b", "sk-\x07"])
def test_what_can_be_no_key_is_said_and_not_repeated(
    family: str, server: ServiceServer, monkeypatch: pytest.MonkeyPatch, key: str
):
    variable = MODELS[family][3]
    monkeypatch.setenv(variable, key)
    with pytest.raises(MissingKey, match=variable) as caught:
        encoder(family, server)
    assert "sk-" not in str(caught.value) and not server.asked


def test_a_key_is_taken_without_the_line_break_at_its_end(server: ServiceServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CO_API_KEY", f" {KEY}\n")
    assert encoder("cohere", server).texts(["a cat"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(family: str, server: ServiceServer, status: int):
    elsewhere = ServiceServer()
    try:
        server.always = Fault(status=status, headers={"Location": f"{elsewhere.url}/stolen"})
        with pytest.raises(ServiceFailed, match=f"another address.*endpoint=.*{status}"):
            encoder(family, server).texts(["a cat"])
        assert len(server.asked) == 1 and not elsewhere.asked
    finally:
        elsewhere.close()


def test_names_of_one_service_share_its_cap_until_a_new_run(server: ServiceServer):
    one = encoder("cohere", server, max_requests=2)
    other = encoder("cohere", server, max_requests=2, query_prompt="ask: ")
    one.texts(["a cat"])
    other.texts(["a dog"])
    for model in (one, other):
        with pytest.raises(SpendingCap, match="max_requests=2"):
            model.texts(["a fish"])
    encoder("cohere", server, max_requests=3).texts(["a bird"])  # a larger cap goes on
    spending.start_again()
    one.texts(["a fish"])
    assert len(server.asked) == 4


def test_another_service_or_key_has_a_cap_of_its_own(server: ServiceServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTHER_API_KEY", KEY)
    for options in ({}, {"key_variable": "OTHER_API_KEY"}):
        encoder("cohere", server, max_requests=1, **options).texts(["a cat"])
    encoder("gemini", server, max_requests=1).texts(["a cat"])
    assert len(server.asked) == 3


def test_questions_are_not_capped(server: ServiceServer):
    model = encoder("gemini", server, max_requests=1)
    with spending.questions():
        for place in range(3):
            model.texts([f"question {place}"], "query")
    model.texts(["a cat"])
    with pytest.raises(SpendingCap):
        model.texts(["a dog"])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After-Ms": "700"}),
        Fault(
            status=429,
            body='{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "'
            + "quota " * 90
            + '", "details": '
            '[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.7s"}]}}',
        ),
    ],
)
def test_other_ways_of_saying_when_are_understood(family: str, server: ServiceServer, fault: Fault):
    server.faults = [fault]
    encoder(family, server).texts(["a cat"])
    assert waits_seconds(server.asked)[0] >= 0.7


def test_spending_is_capped_and_retries_count(family: str, server: ServiceServer):
    server.faults = [DOWN]
    model = encoder(family, server, max_requests=3)
    model.texts(["a cat"])
    model.texts(["a dog"])
    with pytest.raises(SpendingCap, match="max_requests=3"):
        model.texts(["a fish"])
    assert len(server.asked) == 3


def test_the_key_is_nowhere_to_be_seen(family: str, server: ServiceServer, caplog: pytest.LogCaptureFixture):
    server.faults = [Fault(status=500, body=f'{{"error": {{"message": "no {KEY} please"}}}}')]
    with caplog.at_level(logging.DEBUG):
        model = encoder(family, server, attempts=2)
        model.texts(["a cat"])
        server.always = Fault(status=503, body=f'{{"message": "{KEY}"}}')
        with pytest.raises(ServiceFailed) as caught:
            model.texts(["a dog"])
    assert "asking again" in caplog.text
    told: list[BaseException | None] = [caught.value, caught.value.__cause__, caught.value.__context__]
    for shown in (caplog.text, repr(model), repr(model.network), *map(repr, told)):
        assert KEY not in shown
    travels = handler(name_of(family, server), device="cpu")
    assert KEY.encode() not in pickle.dumps(travels) and KEY not in repr(travels.card)
    assert KEY.encode() not in pickle.dumps(caught.value)
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(model.network)


def test_media_stay_here_unless_the_name_sends_them(server: ServiceServer):
    for family in ("gemini", "cohere", "twelvelabs"):
        model = encoder(family, server)
        assert model.card.accepts == ("text",) and model.card.modality == "text"
        with pytest.raises(UsageError, match="send_media=true"):
            model.frames(np.stack([picture(model.card, 0)]))
        with pytest.raises(UsageError, match="send_media=true"):
            model.clips([clip(model.card, 0)])
        with pytest.raises(UsageError, match="send_media=true"):
            model.sounds([sound(model.card, 0)])
    assert not server.asked


def test_a_model_of_text_sends_no_media(server: ServiceServer):
    with pytest.raises(UsageError, match="text only"):
        card(name_of("openai", server, send_media="true"))
    with pytest.raises(UsageError, match="text only"):
        card(f"gemini:gemini-embedding-001?dimensions=48&endpoint={server.url}&send_media=true")


def test_dimensions_are_said_in_the_name():
    for family, (model, *_) in MODELS.items():
        with pytest.raises(UsageError, match="dimensions=N"):
            card(f"{family}:{model}")


def test_what_decides_no_vector_is_no_part_of_the_fingerprint(family: str, server: ServiceServer):
    plain = card(name_of(family, server))
    assert card(name_of(family, server, max_requests=7, attempts=2)).fingerprint == plain.fingerprint
    for deciding in ({"query_prompt": "query: "}, {"longest_tokens": 99}, {"dimensions": 24}):
        assert card(name_of(family, server, **deciding)).fingerprint != plain.fingerprint
    assert dict(plain.settings)["endpoint"] == server.url.removeprefix("http://") + MODELS[family][1]


def test_requests_hold_no_more_than_a_service_takes(server: ServiceServer):
    texts = [f"text number {place}" for place in range(200)]
    rows = encoder("cohere", server).texts(texts)
    assert [len(one.body["texts"]) for one in server.asked] == [96, 96, 8]
    (alone,) = encoder("cohere", server).texts(texts[150:151])
    np.testing.assert_array_equal(rows[150], alone)
    server.asked.clear()
    encoder("openai", server, batch=2000).texts(["many words " * 4000] * 40)  # 40 x 16,000 pieces
    assert len(server.asked) > 1
    server.asked.clear()
    encoder("gemini", server).texts(texts)
    assert max(len(one.body["requests"]) for one in server.asked) == 32


def test_roles_reach_the_service(server: ServiceServer):
    fields = {"query_fields": "input_type:query,truncate:NONE", "document_fields": "input_type:passage,truncate:NONE"}
    seen = {
        "openai": lambda body: body["input_type"],
        "gemini": lambda body: body["requests"][0]["taskType"],
        "cohere": lambda body: body["input_type"],
    }
    wanted = {
        "openai": ["query", "passage"],
        "gemini": ["RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"],
        "cohere": ["search_query", "search_document"],
    }
    for family, role_in in seen.items():
        server.asked.clear()
        model = encoder(family, server, **(fields if family == "openai" else {}))
        (query,), (document,) = model.texts(["a cat"], "query"), model.texts(["a cat"], "document")
        assert [role_in(one.body) for one in server.asked] == wanted[family]
        assert np.abs(query - document).max() > 1e-3


def test_prompts_reach_the_service_instead_of_task_types(server: ServiceServer):
    model = encoder("gemini", server, task_types="false", query_prompt="task: search result | query: ")
    model.texts(["a cat"], "query")
    (asked,) = server.asked[0].body["requests"]
    assert "taskType" not in asked
    assert asked["content"]["parts"][0]["text"] == "task: search result | query: a cat"


def test_fields_are_typed_and_may_not_replace_the_input(server: ServiceServer):
    encoder("openai", server, document_fields="normalized:true,late:7,task:a.b").texts(["a cat"])
    assert {"normalized": True, "late": 7, "task": "a.b"}.items() <= server.asked[0].body.items()
    for wrong in ("input:x", "task"):
        with pytest.raises(UsageError, match="key:value"):
            card(name_of("openai", server, query_fields=wrong))


def test_a_long_text_goes_in_windows_and_nothing_is_lost(server: ServiceServer):
    text = " ".join(f"word{place}" for place in range(900))
    encoder("twelvelabs", server, longest_tokens=500).texts([text])
    sent = " ".join(one.body["multi_input"]["input_text"] for one in server.asked)
    assert sent.replace(" ", "") == text.replace(" ", "") and len(server.asked) > 1


def test_a_long_sound_goes_in_windows(server: ServiceServer):
    model = encoder("gemini", server, send_media="true", longest_seconds=1)
    one = sound(model.card, 0)
    long = type(one)(np.tile(one.samples, 3), one.sample_rate_hz, 0.0)
    assert model.sounds([long]).shape == (1, 48)
    assert len(server.asked) == 3


def test_a_clip_without_sound_is_asked_for_by_its_pictures_alone(server: ServiceServer):
    name = f"twelvelabs:marengo3.0?dimensions=512&endpoint={server.url}/v1.3&send_media=true&frames=4"
    model = loaded(name, device="cpu").model
    heard = clip(model.card, 0)
    silent = type(heard)(heard.frames, heard.pts_seconds, None)
    model.clips([heard, silent])
    assert [one.body["video"]["embedding_option"] for one in server.asked] == [["visual", "audio"], ["visual"]]


def test_a_wrong_setting_is_said_before_anything_starts(server: ServiceServer):
    for wrong in (
        {"max_requests": 0},
        {"attempts": "many"},
        {"timeout_msec": -1},
        {"colour": "red"},
        {"send_media": 1},
    ):
        with pytest.raises(UsageError):
            card(name_of("gemini", server, **wrong))


def test_every_failure_is_one_of_ours(family: str, server: ServiceServer):
    for status in (400, 404, 405, 409, 413, 418, 422, 451, 498, 500, 501, 529):
        server.always = Fault(status=status, body="not json")
        with pytest.raises(ReelvecError):
            encoder(family, server, attempts=2).texts([f"a cat {status}"])


def test_a_clip_is_sent_as_a_film_of_its_frames_and_its_sound(tmp_path: Path):
    frames = np.full((5, 95, 127, 3), (200, 40, 40), np.uint8)
    tone = np.sin(np.arange(40_000) / 9).astype(np.float32)
    one = ClipInput(frames, 7.0 + 0.5 * np.arange(5), Audio(tone, 16_000, 7.0))
    path = tmp_path / "clip.mp4"
    path.write_bytes(mp4_of(one))
    assert path.read_bytes() == mp4_of(one)
    shown = json.loads(
        subprocess.run(
            ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)],
            capture_output=True,
            check=True,
        ).stdout
    )
    film, heard = shown["streams"]
    assert (film["nb_read_frames"], film["r_frame_rate"], film["width"], film["height"]) == ("5", "2/1", 128, 96)
    assert float(film["duration"]) == pytest.approx(2.5, abs=0.1)
    assert heard["codec_type"] == "audio" and float(heard["duration"]) == pytest.approx(2.5, abs=0.1)


def test_a_single_frame_without_sound_is_a_film_too():
    assert mp4_of(ClipInput(np.zeros((1, 1, 1, 3), np.uint8), np.zeros(1)))[4:8] == b"ftyp"


def test_pictures_and_sounds_come_back_as_they_were():
    pixels = np.full((1, 1, 3), (200, 40, 40), np.uint8)
    assert np.abs(np.asarray(Image.open(io.BytesIO(jpeg_of(pixels)))).astype(int) - pixels).max() <= 3
    samples = np.linspace(-1, 1, 50, dtype=np.float32)
    with wave.open(io.BytesIO(wav_of(samples, 16_000))) as opened:
        back = np.frombuffer(opened.readframes(50), "<i2") / 32767
        assert opened.getframerate() == 16_000
    np.testing.assert_allclose(back, samples, atol=1e-4)
