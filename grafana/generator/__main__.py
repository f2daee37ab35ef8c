"""Write the files of `grafana/` anew."""

from __future__ import annotations

from grafana.generator.files import ROOT, files


def main() -> None:
    """Write what has changed, and name it."""
    for path, text in files().items():
        file = ROOT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
