package printer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

func TestTableKeepsToItsWidthsAsItGrows(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	table := &printer.Table{Headers: []string{"NAME", "READY", "MESSAGE"}, Indent: "  "}
	table.Add("a-long-name", "True", "two\nlines  of text")
	if err := table.Flush(&out); err != nil {
		t.Fatal(err)
	}
	table.Add("é", "", "")
	if err := table.Flush(&out); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"  NAME          READY   MESSAGE\n" +
		"  a-long-name   True    two lines of text\n" +
		"  é             -       -\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestTableWithoutRowsOrHeadersPrintsNone(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	table := &printer.Table{Headers: []string{"NAME"}}
	if err := table.Flush(&out); err != nil || out.Len() > 0 {
		t.Errorf("an empty table prints %q, %v", &out, err)
	}
	table = &printer.Table{Headers: []string{"NAME"}, NoHeaders: true}
	table.Add("a")
	if err := table.Flush(&out); err != nil || out.String() != "a\n" {
		t.Errorf("got %q, %v", &out, err)
	}
}

func TestColourSaysWhatAWordMeansWhereItStands(t *testing.T) {
	t.Parallel()
	const red, green, yellow, none = "\x1b[31m", "\x1b[32m", "\x1b[33m", ""
	for _, test := range []struct {
		meaning printer.Meaning
		word    string
		colour  string
	}{
		{printer.Good, "True", green}, {printer.Good, "False", red}, {printer.Good, "Unknown", yellow}, {printer.Good, "Deleted", none},
		{printer.Bad, "True", red}, {printer.Bad, "False", none}, {printer.Bad, "Unknown", yellow},
		{printer.Notable, "True", yellow}, {printer.Notable, "False", none}, {printer.Notable, "Warning", yellow}, {printer.Notable, "Normal", none},
		{printer.Plain, "True", none}, {printer.Plain, "False", none},
	} {
		want := test.word
		if test.colour != none {
			want = test.colour + test.word + "\x1b[0m"
		}
		if got := printer.Colour(test.meaning, test.word); got != want {
			t.Errorf("%s of meaning %d: %q, want %q", test.word, test.meaning, got, want)
		}
	}
}

func TestColourLeavesTheLayoutAlone(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	table := &printer.Table{Headers: []string{"READY", "NAME"}, Meaning: func(row []string, column int) printer.Meaning {
		if column == 0 && row[1] == "app" {
			return printer.Good
		}
		return printer.Plain
	}}
	table.Add("True", "app")
	table.Add("False", "True")
	if err := table.Flush(&out); err != nil {
		t.Fatal(err)
	}
	if want := "READY   NAME\n\x1b[32mTrue\x1b[0m    app\nFalse   True\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestFoldedTextSteersNoTerminal(t *testing.T) {
	t.Parallel()
	if got, want := printer.Fold(" build:\n\tline 3:\r\n \x1b[2Jnot a\u009bkey é "), "build: line 3: [2Jnot a key é"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDocumentsKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{"b":18446744073709551615,"a":"<&>"}`)
	var asJSON, asLine, asYAML strings.Builder
	for _, err := range []error{printer.JSON(&asJSON, raw), printer.JSONLine(&asLine, raw), printer.YAML(&asYAML, raw)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := "{\n  \"b\": 18446744073709551615,\n  \"a\": \"<&>\"\n}\n"; asJSON.String() != want {
		t.Errorf("JSON %s", &asJSON)
	}
	if want := "{\"b\":18446744073709551615,\"a\":\"<&>\"}\n"; asLine.String() != want {
		t.Errorf("line %s", &asLine)
	}
	if want := "a: <&>\nb: 18446744073709551615\n"; asYAML.String() != want {
		t.Errorf("YAML %s", &asYAML)
	}
	var empty strings.Builder
	if err := printer.JSONLine(&empty, printer.NewList(nil)); err != nil || !strings.Contains(empty.String(), `"items":[]`) {
		t.Errorf("an empty list is %s, %v", &empty, err)
	}
}

func TestAgesAreShort(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 150 * time.Second: "2m30s", 45 * time.Minute: "45m",
		5 * time.Hour: "5h", 47 * time.Hour: "47h", 41 * 24 * time.Hour: "41d",
	} {
		if got := printer.Age(now.Add(-ago), now); got != want {
			t.Errorf("%s ago: %q, want %q", ago, got, want)
		}
	}
	if got := printer.Age(time.Time{}, now); got != "-" {
		t.Errorf("no time: %q", got)
	}
}

func TestRevisionsAreShortenedAtTheirHash(t *testing.T) {
	t.Parallel()
	const hash = "696f056df216eea4f9401adbee0ff744d4df390f"
	for revision, want := range map[string]string{
		"main@sha1:" + hash: "main@sha1:696f056d", "sha256:" + hash: "sha256:696f056d", hash: "696f056d",
		"v1.2.3": "v1.2.3", "": "", "main@sha1:696f056d": "main@sha1:696f056d", "feature/x@sha1:" + hash: "feature/x@sha1:696f056d",
	} {
		if got := printer.Revision(revision); got != want {
			t.Errorf("%s: %q, want %q", revision, got, want)
		}
	}
}
