package decrypt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
)

// TestFileIsWhatSOPSPrints: a Secret that Flux made of such a file does not change by a byte.
func TestFileIsWhatSOPSPrints(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	regex := func(m *sops.Metadata) { m.EncryptedRegex = "^(data|stringData)$" }
	for name, test := range map[string]struct {
		format decrypt.Format
		plain  string
		rule   func(*sops.Metadata)
	}{
		"binary":        {decrypt.Binary, "\x00\x01 any \xc3\xa9 thing\nat all\n", nil},
		"dotenv":        {decrypt.Dotenv, "# a note\nUSER=admin\nPASSWORD=a=b\nLINES=one\\ntwo\nEMPTY=\nPORT_unencrypted=80\n", nil},
		"INI":           {decrypt.INI, "; above\n[db]\n; of the user\nuser = admin\npassword = \"p w\"\n\n[empty]\n", nil},
		"JSON":          {decrypt.JSON, `{"z":"s","a":[1,2.5,true,null,{"x":"y<&>"}],"n":9007199254740993,"e":{},"l":[],"":"x","plain_unencrypted":{"k":1}}`, nil},
		"YAML scalars":  {decrypt.YAML, "s: text\ni: 12\nf: 1.5\nb: true\nn: null\nd: 2001-02-03\nt: 2001-02-03T04:05:06Z\nquoted: \"12\"\nlong: |\n  one\n  two\nempty: ''\n", nil},
		"YAML nesting":  {decrypt.YAML, "a:\n  - b: 1\n    c: [x, y]\n  - - deep\nm: {}\nl: []\nflow: {p: q}\n", nil},
		"YAML comments": {decrypt.YAML, "# top\n\n# second\na: 1 # behind\n# before b\nb:\n  # in b\n  c: 2\n  # after c\nl:\n  # first\n  - x # inline\n  # second\n  - y\n  # last\n# end\n", nil},
		"YAML anchors":  {decrypt.YAML, "base: &b\n  x: 1\nuse: *b\nmore:\n  s: &s text\n  t: *s\n", nil},
		"YAML many":     {decrypt.YAML, "a: 1\n---\nb: 2\n---\n# only\nc: 3\n", nil},
		"regex":         {decrypt.YAML, "kind: Secret # kept\nstringData:\n  # a note\n  password: pw\n  n: {deep: 1}\n", regex},
		"suffix":        {decrypt.YAML, "a_secret: 1\nb: 2\nc_secret: {d: 3}\n", func(m *sops.Metadata) { m.EncryptedSuffix = "_secret" }},
		"no suffix":     {decrypt.YAML, "a_plain: 1\nb: 2\n", func(m *sops.Metadata) { m.UnencryptedSuffix = "_plain" }},
		"no regex":      {decrypt.YAML, "a: 1\nb: 2\n", func(m *sops.Metadata) { m.UnencryptedRegex = "^a$" }},
		"comment rule":  {decrypt.YAML, "# sops:enc\na: 1\nb: 2\nl:\n  # sops:enc\n  # and this\n  - x\n  - y\n# sops:enc\nm: {n: 1, o: [p]}\n", func(m *sops.Metadata) { m.EncryptedCommentRegex = "sops:enc" }},
		"comment plain": {decrypt.YAML, "# sops:plain\na: 1\nb: 2\nm:\n  # sops:plain\n  n: 1\n  o: 2\n", func(m *sops.Metadata) { m.UnencryptedCommentRegex = "sops:plain" }},
		"mac only":      {decrypt.YAML, "a_unencrypted: 1\nb: 2\n", func(m *sops.Metadata) { m.UnencryptedSuffix, m.MACOnlyEncrypted = "_unencrypted", true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := decrypttest.For(key)
			e.Rule = test.rule
			encrypted, want := e.Encrypt(t, test.format, test.format, []byte(test.plain))
			got, err := k.File(t.Context(), "file", test.format, encrypted)
			if err != nil {
				t.Fatalf("%v\n%s", err, encrypted)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-sops +ours:\n%s", diff)
			}
		})
	}
}

// TestRandomDocumentsAreWhatSOPSPrints compares with the library on documents that nobody has thought of.
func TestRandomDocumentsAreWhatSOPSPrints(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	for format, draw := range map[decrypt.Format]func(*rapid.T) string{
		decrypt.Binary: func(t *rapid.T) string { return rapid.StringN(1, 50, -1).Draw(t, "binary") },
		decrypt.Dotenv: randomDotenv, decrypt.INI: randomINI, decrypt.JSON: randomJSON, decrypt.YAML: randomYAML,
	} {
		t.Run(string(format), rapid.MakeCheck(func(t *rapid.T) {
			plain := draw(t)
			e := decrypttest.For(key)
			e.Rule = rapid.SampledFrom(randomRules).Draw(t, "rule")
			out := format
			if rapid.IntRange(0, 4).Draw(t, "convert") == 0 {
				out = rapid.SampledFrom([]decrypt.Format{decrypt.JSON, decrypt.YAML}).Draw(t, "out")
			}
			switch {
			case format == decrypt.Binary:
				out, e.Rule = format, nil
			case strings.Contains(plain, "\n---\n"):
				out = format // the library would leave all but the first document out
			}
			encrypted, want, err := e.Try(format, out, []byte(plain))
			if err != nil {
				t.Skip(err)
			}
			var got []byte
			if out == format {
				got, err = k.File(context.Background(), "file", format, encrypted)
			} else {
				got, err = k.Convert(context.Background(), encrypted, format, out)
			}
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, plain, encrypted)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("of %s\n%s\n-sops +ours:\n%s", plain, encrypted, diff)
			}
		}))
	}
}

var randomRules = []func(*sops.Metadata){
	nil,
	func(m *sops.Metadata) { m.EncryptedRegex = "^[a-c]" },
	func(m *sops.Metadata) { m.UnencryptedRegex = "^[a-c]" },
	func(m *sops.Metadata) { m.EncryptedSuffix = "a" },
	func(m *sops.Metadata) { m.EncryptedCommentRegex = "n" },
	func(m *sops.Metadata) { m.UnencryptedCommentRegex = "^ n" },
}

var (
	randomName  = rapid.StringMatching(`[a-d][a-d0-9_]{0,3}`)
	randomPlain = rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9 <>&'"#:=\\%-]{0,12}`), rapid.StringN(0, 10, -1))
)

func randomDotenv(t *rapid.T) string {
	var out strings.Builder
	for i := range rapid.IntRange(1, 5).Draw(t, "lines") {
		if rapid.Bool().Draw(t, "note") {
			fmt.Fprintf(&out, "#%s\n", rapid.StringMatching(` [a-z]{1,5}`).Draw(t, "text"))
		}
		value := strings.ReplaceAll(randomPlain.Draw(t, "value"), "\n", `\n`)
		fmt.Fprintf(&out, "%s%d=%s\n", randomName.Draw(t, "key"), i, value)
	}
	return out.String()
}

func randomINI(t *rapid.T) string {
	var out strings.Builder
	for i := range rapid.IntRange(1, 3).Draw(t, "sections") {
		if rapid.Bool().Draw(t, "note") {
			out.WriteString("; above\n")
		}
		fmt.Fprintf(&out, "[%s%d]\n", randomName.Draw(t, "section"), i)
		for j := range rapid.IntRange(0, 3).Draw(t, "keys") {
			if rapid.Bool().Draw(t, "note") {
				out.WriteString("# of the key\n")
			}
			fmt.Fprintf(&out, "%s%d = %s\n", randomName.Draw(t, "key"), j, rapid.StringMatching(`[a-zA-Z0-9 <>&':%-]{0,12}`).Draw(t, "value"))
		}
	}
	return out.String()
}

func randomJSON(t *rapid.T) string {
	data, err := json.Marshal(randomMapping(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func randomMapping(t *rapid.T, depth int) map[string]any {
	m := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		m[rapid.OneOf(randomName, randomPlain).Draw(t, "key")] = randomValue(t, depth)
	}
	return m
}

func randomValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth > 3 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return rapid.Int64().Draw(t, "int")
	case 1:
		return rapid.Float64().Draw(t, "float")
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		return nil
	case 5:
		return randomMapping(t, depth+1)
	case 6:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return randomValue(t, depth+1) }), 0, 3).Draw(t, "list")
	}
	return randomPlain.Draw(t, "text")
}

// randomYAML writes block mappings and lists with comments wherever there may be some.
func randomYAML(t *rapid.T) string {
	var out strings.Builder
	n := 0
	note := func(indent string) {
		if rapid.IntRange(0, 3).Draw(t, "note") == 0 {
			fmt.Fprintf(&out, "%s# %s\n", indent, rapid.StringMatching(`[mn][a-z]{0,3}`).Draw(t, "text"))
		}
	}
	var mapping func(indent string, depth int)
	scalar := func() string {
		return rapid.SampledFrom([]string{
			"text", "12", "-0.5", "1e30", "true", "null", "~", "'quoted'", `"esc\n\u00e9"`, "2001-02-03", "2001-02-03T04:05:06.5Z",
			"''", "{f: 1, g: [2]}", "[a, {b: c}]", "[]", "{}", "!!str 5", "0x1F", "0o17", "yes", "a: b"[:1], "é", "<<", "'#'", "1_000",
		}).Draw(t, "scalar")
	}
	value := func(indent string, depth int, inline bool) {
		switch kind := rapid.IntRange(0, 5).Draw(t, "value"); {
		case kind == 0 && depth < 3:
			out.WriteByte('\n')
			mapping(indent+"  ", depth+1)
		case kind == 1 && depth < 3:
			out.WriteByte('\n')
			for range rapid.IntRange(1, 3).Draw(t, "items") {
				note(indent + "  ")
				fmt.Fprintf(&out, "%s  - %s\n", indent, scalar())
			}
			note(indent + "  ")
		case kind == 2:
			fmt.Fprintf(&out, " |\n%s  line\n%s    more\n", indent, indent)
		case kind == 3:
			fmt.Fprintf(&out, " %s # nb\n", scalar())
		default:
			fmt.Fprintf(&out, " %s\n", scalar())
		}
	}
	mapping = func(indent string, depth int) {
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			note(indent)
			n++
			fmt.Fprintf(&out, "%s%sx%d:", indent, randomName.Draw(t, "key"), n)
			value(indent, depth, true)
		}
		note(indent)
	}
	note("")
	mapping("", 0)
	if rapid.IntRange(0, 4).Draw(t, "another") == 0 {
		out.WriteString("---\n")
		mapping("", 0)
	}
	return out.String()
}
