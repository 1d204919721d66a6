"""CSV files whose table is whole and whose values are not: missing, of another kind, unseen."""

from csv_cases import NA, Broken


class BrokenValues(Broken):
    def missing_value(self) -> bytes:
        name = self.draw.choice(self.table.numeric + self.table.categorical)
        return self._bad_cell(name, self.draw.choice(NA), "missing value", "data.missing=drop")

    def missing_filled(self) -> bytes:
        name = self.draw.choice(self.table.numeric + self.table.categorical)
        self.options["missing"] = "mean"
        self.table.rows[self.row][self.table.column(name)] = self.draw.choice(NA)
        self.printed = [f"1 in {self._shown(name)!r}"]
        return self._write()

    def missing_dropped(self) -> bytes:
        self.options["missing"] = "drop"
        count = len(self.table.rows)
        for row in self.draw.sample(range(count), 3):
            self.table.rows[row][self.draw.randrange(1, len(self.table.names))] = self.draw.choice(NA)
        self.printed = [f"3 of {count} rows are left out"]
        return self._write()

    def missing_target(self) -> bytes:
        self.options["missing"] = self.draw.choice(("error", "mean"))
        return self._bad_cell("y", self.draw.choice(NA), "data.missing=drop leaves out 1 of")

    def text_among_numbers(self) -> bytes:
        name = self.draw.choice(["id", *self.table.numeric])
        return self._bad_cell(
            name, self.draw.choice(("abc", "1.2.3", "--5", "0x1F", "1_000", "5 apples")), "is not a number"
        )

    def infinite(self) -> bytes:
        name = self.draw.choice(["id", *self.table.numeric])
        return self._bad_cell(
            name, self.draw.choice(("inf", "-inf", "1e400", "-1e38", "9" * 40, "Infinity")), "too large"
        )

    def huge_integer(self) -> bytes:
        name = self.draw.choice(self.table.numeric)
        for row in self.table.rows:
            row[self.table.column(name)] = str(self.draw.randrange(10**18, 10**30))
        return self._write()

    def decorated_numbers(self) -> bytes:
        name = self.draw.choice(self.table.numeric)
        form = self.draw.choice(("${:.2f}", "{:.2f} €", "{:,.2f}", "{:.1f}%", "{}"))
        for row in self.table.rows:
            value = self.draw.uniform(1000, 5000)
            row[self.table.column(name)] = form.format(value) if form != "{}" else f"{value:.2f}".replace(".", ",")
        content = self._write()
        self.error = [f"row {self.lines[0]}, column {self._shown(name)!r}", "is not a number", "data.categorical="]
        return content

    def dates(self) -> bytes:
        self.style.header = True
        name = self.draw.choice(self.table.numeric)
        form = self.draw.choice(
            (
                "2024-{0:02}-{1:02}",
                "{1}.{0}.2024",
                "{0}/{1}/24",
                "2024-{0:02}-{1:02} 12:30:00",
                "{1} May 2024",
                "{0:02}:{1:02}",
            )
        )
        for row in self.table.rows:
            row[self.table.column(name)] = form.format(self.draw.randint(1, 12), self.draw.randint(10, 28))
        self.error = [f"column {name!r}", "date", f"data.ignore=[{name}]"]
        return self._write()

    def free_text(self) -> bytes:
        name = self.draw.choice(self.table.numeric)
        for number, row in enumerate(self.table.rows):
            row[self.table.column(name)] = f"note {number:x}{self.draw.choice('uvw')}"
        self.options["max_categories"] = 10
        self.error = [f"column {self._shown(name)!r}", "different texts", "data.ignore=[", "data.max_categories="]
        return self._write()

    def column_without_values(self) -> bytes:
        name = self.draw.choice(self.table.numeric + self.table.categorical)
        for row in self.table.rows:
            row[self.table.column(name)] = self.draw.choice(NA)
        self.options["missing"] = self.draw.choice(("error", "mean", "drop"))
        self.error = [f"column {self._shown(name)!r}", "no value at all", "data.ignore=["]
        return self._write()

    def constant_column(self) -> bytes:
        name = self.draw.choice(self.table.numeric)
        for row in self.table.rows:
            row[self.table.column(name)] = "0.1"
        return self._write()

    def one_class(self) -> bytes:
        text = self.draw.choice(("0", "yes", "2.5"))
        for row in self.table.rows:
            row[-1] = text
        self.options["target_kind"] = self.draw.choice(("auto", "class", "binary"))
        self.error = [f"column {self._shown('y')!r}", "nothing to learn"]
        return self._write()

    def too_many_classes(self) -> bytes:
        for number, row in enumerate(self.table.rows):
            row[-1] = str(number % 3 - 1)
        self.options["target_kind"] = "binary"
        self.error = [f"column {self._shown('y')!r}", "3 different values ('-1', '0', '1')", "data.target_kind=class"]
        return self._write()

    def text_as_value(self) -> bytes:
        self.options["target_kind"] = "value"
        for row in self.table.rows:
            row[-1] = str(self.draw.random())
        return self._bad_cell("y", "high", "is not a number")

    def free_text_target(self) -> bytes:
        for number, row in enumerate(self.table.rows):
            row[-1] = f"name {number}"
        self.table.rows += [row[:-1] + [row[-1] + "b"] for row in self.table.rows]
        self.error = [f"column {self._shown('y')!r}", "different texts", "data.target"]
        return self._write()

    def _with_split(self) -> int:
        """Adds a column that says which part a row is of; gives a row of the test part."""
        self.style.header = True
        self.options = {"split_column": "part", "val_fraction": 0.0, "test_fraction": 0.0}
        self.table.names.insert(1, "part")
        for number, row in enumerate(self.table.rows):
            row.insert(1, "test" if number % 4 == 3 else "train")
        return self.draw.randrange(3, len(self.table.rows), 4)

    def unseen_category(self) -> bytes:
        row = self._with_split()
        self.table.names.insert(2, "colour")
        self.table.categorical.append("colour")
        for number, other in enumerate(self.table.rows):
            other.insert(2, ("red", "blue")[number % 2])
        self.table.rows[row][2] = "octarine"
        self.printed = ["column 'colour': unknown to train", "'octarine'"]
        return self._write()

    def unseen_class(self) -> bytes:
        self.row = self._with_split()
        self.table.target_kind = "class"
        for number, row in enumerate(self.table.rows):
            row[-1] = ("ant", "bee", "cat")[number % 3]
        return self._bad_cell("y", "dog", "'dog' is a class in the test part")

    def label_out_of_range(self) -> bytes:
        self.row = self._with_split()
        self.options["target_kind"] = "class"
        for number, row in enumerate(self.table.rows):
            row[-1] = str(number % 3)
        return self._bad_cell("y", self.draw.choice(("3", "-1", "255")), "is a class in the test part")

    def unknown_part(self) -> bytes:
        self.row = self._with_split()
        return self._bad_cell("part", self.draw.choice(("tset", "0", "")), "names no part")
