"""The fixtures of these tests: a page that does what it should not is noticed."""

import pytest

LOUD = {
    "console": ("<script>console.log('said')</script>", "log: said"),
    "raised": ("<script>throw new Error('thrown')</script>", "raised: thrown"),
    "network": ("<img src='http://localhost:9/a.png' alt=''>", "asked for: http://localhost:9/a.png"),
    "file": ("<link rel=stylesheet href='other.css'>", "other.css"),
    "policy": (
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\"><script>1</script>",
        "Content Security Policy",
    ),
}


@pytest.mark.parametrize("kind", LOUD)
def test_a_page_that_is_not_quiet_is_noticed(open_page, messages, kind):
    html, told = LOUD[kind]
    open_page(html, ready=False).wait_for_load_state()
    assert any(told in message for message in messages), messages
    messages.clear()
