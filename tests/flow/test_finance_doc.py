"""Every command that docs/finance.md shows is run, in its order, on one store."""
import datetime
import pathlib
import re
import shlex

DOC = pathlib.Path(__file__).parents[2] / "docs" / "finance.md"


def commands():
    for block in re.findall(r"```sh\n(.*?)```", DOC.read_text(), re.S):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "maasgate":
                yield [w for w in words[1:] if not w.startswith(">")]


def write_books(directory):
    """The price books that the page shows, under the names that it gives them."""
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", DOC.read_text(), re.S):
        (directory / name).write_text(text)
        yield name


def publish_from_now_on(gate):
    gate.write_conf(catalog=re.sub(r"    price: .*\n", "", gate.catalog), price_source="published")
    gate.cli("reload")


def test_the_walk_through_a_month_works_as_printed(gate):
    key = gate.key(project="acme")
    image = {"model": "base/image", "prompt": "a pit", "size": "256x256", "n": 4}
    assert gate.post("/v1/images/generations", image, key).status == 200
    now = datetime.datetime.now(datetime.timezone.utc)
    printed, ended = {}, False
    books = list(write_books(gate.dir))
    for words in commands():
        if words[:2] == ["price", "publish"]:
            publish_from_now_on(gate)
        words = [printed["price key"].strip() if w == "DIGEST" else w for w in words]
        words = [str(gate.dir / w) if w in [*books, "ada.key"] else w for w in words]
        issued = gate.ask("document", "list")["documents"]
        number = issued[0]["number"] if issued else "none is issued yet"
        words = [w.replace("2026-11", now.strftime("%Y-%m")).replace("MG-2026-000001", number) for w in words]
        if not ended and "--approve" in words:
            words.append("--until-now")  # the month of a test is not over
            ended = True
        name = words[:2] if words[0] == "price" else words[:1]
        printed[" ".join(name + [w for w in words if w.startswith("--")])] = gate.cli(*words).stdout
    assert ended and printed["audit"].rstrip().endswith("clean")
    assert "base/image images: changed" in printed["price diff"]
    assert "1 requests, 0.04 charged, 0.048 would be" in printed["price simulate --month --org"]
    assert "published by key:ada" in printed["price approve --key-file"]
    assert "output_text_tokens: changed" in printed["price diff --for"]
    assert "1 requests, 0.04 charged, 0.00 would be" in printed["price simulate --for --month"]
    assert "for acme" in printed["price publish --for --from"] and "base/simple" in printed["price show --for"]
    assert "the list for acme" in printed["price withdraw --for --from"]
    assert "scheduled" in printed["price list"] and "in force" in printed["price list"]
    assert "on-premises licence" in printed["invoice --org --html"]
    assert "CREDIT NOTE" in printed["credit-note"]
    assert number in printed["document --org"]
