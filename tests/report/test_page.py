"""Tables and pages: their columns, and that nothing in them is markup."""

import base64
import hashlib

from dlrun.report import page


def test_markdown_keeps_its_columns():
    text = page.markdown(("a", "n"), [("x|y", "1")], right=("n",))
    assert text == "| a | n |\n| :--- | ---: |\n| x\\|y | 1 |\n"


def test_a_page_escapes_all_but_what_it_has_made_itself():
    text = "<b>'\"&\x1b"
    cells = [text, page.html_link(f"a:b/{text} #?%", text), page.html_code(text), page.html_picture(b"x", text)]
    whole = page.html_page(text, [(text, page.html_table([text], [[cell] for cell in cells]) + page.html_list([text]))])
    body = whole.partition("<h1>")[2].partition("<script>")[0]
    assert "<b>" not in body and "\x1b" not in whole and body.count("&lt;b&gt;&#x27;&quot;&amp;\\x1b") == 9
    assert 'href="a%3Ab/%3Cb%3E%27%22%26%1B%20%23%3F%25"' in body
    assert 'alt="&lt;b&gt;' in body


def test_the_policy_of_a_page_names_its_own_style_and_script():
    whole = page.html_page("t", [])
    for kind in ("style", "script"):
        text = whole.partition(f"<{kind}>")[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in whole
    assert "default-src 'none'" in whole
