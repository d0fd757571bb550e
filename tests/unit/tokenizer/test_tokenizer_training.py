import json

import pytest
from support import ROOT

from sluice.chat import encode_samples, load_tokenizer
from sluice.errors import ConfigError, DataError
from sluice.files import hash_file
from sluice.records import Message, Sample
from sluice.texts import Document, read_documents
from sluice.tokenizer.training import THINK_TOKENS, train_tokenizer, write_tokenizer

TEMPLATE = (ROOT / "resources/tokenizer/chat_template.jinja").read_text()
HOSTILE = [
    "",
    " ",
    "\x00 zero \x00",
    "line\u2028separator\u2029",
    "a\r\n\tb  c   \n\n",
    "🙃🏳️‍🌈 ☂",
    "合计：24+3-4=23。",
    "e\u0301 é ﬁ ｆｕｌｌ",
    "\ufeffbom",
    "1234567890 ٣ Ⅷ",
    "<think>3+2=5</think>theft | 12",
    "\U0010ffff \ud7ff",
]


def _sample(number, *, prompt="What is 12+30?", answer="<think>12+30=42</think>Answer: 42"):
    messages = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return Sample(messages=messages, dataset="some", id=f"some_{number}")


def _documents():
    for sample in (_sample(0), _sample(1, prompt="首都是哪里？", answer="首都是佩尔堡。")):
        yield Document("somewhere", "text", sample.messages)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(
        train_tokenizer(_documents(), vocab_size=320), chat_template=TEMPLATE, folder=path
    )
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_decoding_gives_back_every_text(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_every_digit_is_a_token_of_its_own(tokenizer):
    tokens = tokenizer.tokenize("In 1987 and 12+30=42")
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("1987123042")


def test_think_tags_are_one_token_each_and_survive_skipping_of_special_tokens(tokenizer):
    ids = tokenizer("<think>42</think><|im_end|>")["input_ids"]
    assert len(ids) == 5
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>42</think>"


def test_turn_ends_and_padding_are_the_chat_tokens(tokenizer):
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert len(tokenizer("<|im_start|>")["input_ids"]) == 1


def test_roles_are_single_tokens(tokenizer):
    assert [len(tokenizer(role)["input_ids"]) for role in ("user", "assistant")] == [1, 1]


def test_vocabulary_has_at_most_the_size_asked_for(tokenizer):
    assert 256 + 5 < len(tokenizer) <= 320
    assert set(THINK_TOKENS) <= set(tokenizer.get_vocab())


def test_template_writes_chatml(tokenizer):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"},
        {"role": "tool", "content": "7"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHo<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n7\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_generation_marks_cover_the_answer_and_its_end_and_agree_with_ours(tokenizer):
    sample = _sample(0)
    messages = [message.model_dump() for message in sample.messages]
    marked = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    mask = [bool(each) for each in marked["assistant_masks"]]
    covered = [each for each, is_in in zip(marked["input_ids"], mask, strict=True) if is_in]
    assert tokenizer.decode(covered) == sample.messages[1].content + "<|im_end|>"
    (encoded,) = encode_samples(tokenizer, [sample])
    assert encoded.input_ids == marked["input_ids"]
    assert encoded.is_response == mask


def test_the_same_text_gives_the_same_bytes(folder, tmp_path):
    write_tokenizer(
        train_tokenizer(_documents(), vocab_size=320), chat_template=TEMPLATE, folder=tmp_path
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_configuration_names_the_fast_tokenizer(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_no_text_is_an_error():
    with pytest.raises(DataError, match="no text"):
        train_tokenizer(iter([]), vocab_size=320)


def _texts(*texts):
    return [Document("somewhere", text) for text in texts]


def test_special_tokens_of_ones_own_are_single_and_skipped(tmp_path):
    extra = ("<|bos|>", "<|tool|>")
    trained = train_tokenizer(_documents(), vocab_size=320, special_tokens=extra)
    write_tokenizer(trained, chat_template=TEMPLATE, folder=tmp_path, special_tokens=extra)
    tokenizer = load_tokenizer(tmp_path)
    assert set(extra) <= set(tokenizer.all_special_tokens)
    ids = tokenizer("<|bos|>a<|tool|>")["input_ids"]
    assert len(ids) == 3
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a"


@pytest.mark.parametrize("extra", [("<a>", "<a>"), ("<|im_end|>",), ("<think>",), ("",)])
def test_special_tokens_that_are_there_already_or_empty_are_an_error(extra):
    with pytest.raises(ConfigError, match="special_tokens"):
        train_tokenizer(_documents(), vocab_size=320, special_tokens=extra)


def test_a_vocabulary_without_room_for_bytes_and_special_tokens_is_an_error():
    extra = tuple(f"<s{n}>" for n in range(50))
    with pytest.raises(ConfigError) as caught:
        train_tokenizer(_documents(), vocab_size=310, special_tokens=extra)
    assert caught.value.expected == "at least 311"  # 256 + 3 + 50 + 2
    assert train_tokenizer(_documents(), vocab_size=311, special_tokens=extra)


def test_split_pattern_says_what_is_never_merged():
    texts = _texts("aa-bb 123 123 123 aa-bb " * 20)
    tokens = train_tokenizer(texts, vocab_size=290).encode("123").tokens
    assert tokens == ["1", "2", "3"]
    pattern = r"\p{N}{1,2}|\p{L}+|[^\p{L}\p{N}]"
    trained = train_tokenizer(texts, vocab_size=290, split_pattern=pattern)
    assert trained.encode("123").tokens == ["12", "3"]
    assert trained.encode("aa-bb").tokens == ["aa", "-", "bb"]
    assert trained.decode(trained.encode("合 aa-bb\n").ids) == "合 aa-bb\n"


def test_a_split_pattern_that_is_no_regular_expression_is_an_error():
    with pytest.raises(ConfigError, match="unmatched parenthesis"):
        train_tokenizer(_documents(), vocab_size=320, split_pattern="(")


def test_the_default_tokenizer_is_still_the_same_byte_by_byte(tmp_path):
    # Taken before text sources, special tokens and patterns were settings.
    samples = [_sample(n, prompt=f"{n}+1?", answer=f"The sum is {n + 1}.") for n in range(40)]
    (tmp_path / "s.jsonl").write_bytes(b"".join(sample.to_line() for sample in samples))
    trained = train_tokenizer(read_documents([tmp_path / "s.jsonl"]), vocab_size=300)
    write_tokenizer(trained, chat_template=TEMPLATE, folder=tmp_path)
    assert (
        hash_file(tmp_path / "tokenizer.json")
        == "ea67e53cf2c87d38dc79d278614a18bf79629d0235a8ba62f050380fd32f4b57"
    )
    assert (
        hash_file(tmp_path / "tokenizer_config.json")
        == "45ad5f951676235e3b02136e84f9921d5b3b52e694fa3e09b66dde556e0cf4eb"
    )
