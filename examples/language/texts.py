"""Makes the texts that docs/results.md calibrates and scores language models on.

    python3 texts.py enwik6.txt tinyshakespeare.txt FOLDER

FOLDER/calibrate.txt has the first four fifths of the paragraphs of the beginning of enwik8, without their markup,
and the first half megabyte of tiny Shakespeare; FOLDER/rest.txt the other paragraphs, FOLDER/sentences.txt their
sentences, each a line.
"""
import html
import pathlib
import re
import sys

enwik, shakespeare, folder = map(pathlib.Path, sys.argv[1:])
paragraphs = []
for line in enwik.read_text(encoding="utf-8", errors="replace").split("\n"):
    # What stands in tables, lists, templates and headings isn't running text.
    if len(line) < 200 or not line[0].isalpha() and line[0] not in "'[\"":
        continue
    line = html.unescape(html.unescape(line))
    line = re.sub(r"<ref.*?</ref>|<[^>]*>|\{\{.*?\}\}|\[http\S*|\[\[[a-z-]+:[^\]]*\]\]", "", line)
    line = re.sub(r"\[\[(?:[^\]|]*\|)?([^\]]*)\]\]", r"\1", line)
    line = re.sub(r"'{2,}|[\[\]{}]", "", line)
    if len(line) >= 200:
        paragraphs.append(line.strip())
first = len(paragraphs) * 4 // 5
text = lambda some: "\n\n".join(some) + "\n\n"
calibrate = text(paragraphs[:first]) + shakespeare.read_text()[:500_000]
folder.mkdir(parents=True, exist_ok=True)
sentences = [s.strip() for p in paragraphs[first:] for s in re.split(r"(?<=[.!?]) ", p) if len(s.strip()) > 20]
texts = {"calibrate.txt": calibrate, "rest.txt": text(paragraphs[first:]), "sentences.txt": "\n".join(sentences)}
for name, content in texts.items():
    (folder / name).write_text(content, encoding="utf-8")
    print(f"{name}: {len(content.encode())} bytes")
