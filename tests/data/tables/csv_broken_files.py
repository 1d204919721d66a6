"""CSV files that cannot be cut into a table, or whose columns are not those that are asked for."""

import gzip

from csv_cases import Broken


class BrokenFile(Broken):
    def short_row(self) -> bytes:
        self.table.rows[self.row].pop()
        content = self._write()
        self.error = [f"row {self.lines[self.row]}: {len(self.table.names) - 1} fields"]
        if not self.style.header and self.row == 0:
            self.error = ["row "]
        return content

    def long_row(self) -> bytes:
        extra = self.draw.randint(1, 3)
        self.table.rows[self.row] += ["7"] * extra
        content = self._write()
        self.error = [f"row {self.lines[self.row]}: {len(self.table.names) + extra} fields"]
        if not self.style.header and self.row == 0:
            self.error = ["row "]
        return content

    def column_without_name(self) -> bytes:
        self.style.header = True
        content = self._write()
        self.table.names, names = self.table.names[:-1], self.table.names
        content = self._write()
        self.table.names = names
        self.error = ["row ", f"{len(names)} fields, but the first row has {len(names) - 1}"]
        return content

    def duplicate_column(self) -> bytes:
        self.style.header = True
        self.table.names[self.table.column(self.table.numeric[0])] = "id"
        self.error = ["column 'id'", "two columns", "data.ignore=["]
        return self._write()

    def renamed_target(self) -> bytes:
        self.style.header = True
        self.table.names[-1] = "price"
        self.options["target"] = "prise"
        self.error = ["data.target", "did you mean price?"]
        return self._write()

    def unknown_ignored(self) -> bytes:
        self.options["ignore"] = ("nowhere",)
        self.error = ["data.ignore", "no column 'nowhere'"]
        return self._write()

    def header_only(self) -> bytes:
        self.style.header = True
        self.table.rows = []
        self.error = ["no rows"]
        return self._write()

    def empty(self) -> bytes:
        self.error = ["empty"]
        return self.draw.choice((b"", b"\n\n", b"   \n \n", b"\xef\xbb\xbf", gzip.compress(b"")))

    def utf_16(self) -> bytes:
        self._plain()
        self.error = ["row 1", "UTF-16"]
        return self._write().decode().encode(self.draw.choice(("utf-16", "utf-16-le", "utf-16-be")))

    def latin_1(self) -> bytes:
        self._plain()
        self.table.rows[self.row][0] = "MARK"
        content = self._write()
        self.error = [f"row {self.lines[self.row]}: byte 0xe9 is not UTF-8"]
        return content.replace(b"MARK", b"\xe9")

    def zero_byte(self) -> bytes:
        self._plain()
        self.table.rows[self.row][0] = "MARK"
        content = self._write()
        self.error = [f"row {self.lines[self.row]}: holds a zero byte"]
        return content.replace(b"MARK", b"1\x00")

    def wrong_separator(self) -> bytes:
        self.table.categorical, self.style.separator = [], ","
        self.options["separator"] = "~"
        self.error = ["row 1", "one column only"]
        return self._write()

    def quote_left_open(self) -> bytes:
        self._plain(header=True)
        self.table.rows[self.row][1] = "MARK"
        self.error = ["row "]
        return self._write().replace(b"MARK", b'"12')

    def cut_archive(self) -> bytes:
        self.style.packed = True
        self.error = ["cannot be read"]
        content = self._write()
        return content[: self.draw.randrange(20, len(content) - 1)]

    def other_format(self) -> bytes:
        content, words = self.draw.choice(
            (
                (b"PK\x03\x04" + bytes(100), "spreadsheet"),
                (b"\xd0\xcf\x11\xe0" + bytes(100), "spreadsheet"),
                (b"\n <!DOCTYPE html><html>a,b</html>", "web page"),
                (self.draw.randbytes(300) + b"\x00", "row "),
            )
        )
        self.error = [words]
        return content

    def no_file(self) -> None:
        self.error = ["data.path", "no file"]

    def only_the_target(self) -> bytes:
        self.options["ignore"] = tuple(range(len(self.table.names) - 1))
        self.error = ["no column is left"]
        return self._write()
