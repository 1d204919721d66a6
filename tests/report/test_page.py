from dlrun.report import page


def test_markdown_keeps_its_columns():
    text = page.markdown(("a", "n"), [("x|y", "1")], right=("n",))
    assert text == "| a | n |\n| :--- | ---: |\n| x\\|y | 1 |\n"
