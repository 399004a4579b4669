package diff

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnifiedShowsChangesWithWhatIsAround(t *testing.T) {
	t.Parallel()
	var a, b []string
	for n := range 30 {
		line := fmt.Sprintf("line %d", n)
		a, b = append(a, line), append(b, line)
	}
	b[10] = "another"
	b = append(b[:25], b[26:]...)
	const want = `@@ -8,7 +8,7 @@
 line 7
 line 8
 line 9
-line 10
+another
 line 11
 line 12
 line 13
@@ -23,7 +23,6 @@
 line 22
 line 23
 line 24
-line 25
 line 26
 line 27
 line 28
`
	if got := unified(strings.Join(a, "\n")+"\n", strings.Join(b, "\n")+"\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := unified("", "a\nb\n"); got != "@@ -0,0 +1,2 @@\n+a\n+b\n" {
		t.Errorf("of a new text: %q", got)
	}
	if got := unified("a\n", ""); got != "@@ -1,1 +0,0 @@\n-a\n" {
		t.Errorf("of one that goes: %q", got)
	}
}

func TestEditsLeadFromOneTextToTheOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "c", ""})
		a, b := rapid.SliceOfN(word, 0, 30).Draw(t, "a"), rapid.SliceOfN(word, 0, 30).Draw(t, "b")
		var before, after []string
		for _, e := range compare(a, b) {
			if e.op != '+' {
				before = append(before, e.line)
			}
			if e.op != '-' {
				after = append(after, e.line)
			}
		}
		if fmt.Sprint(before) != fmt.Sprint(a) || fmt.Sprint(after) != fmt.Sprint(b) {
			t.Fatalf("%q to %q: the edits are of %q to %q", a, b, before, after)
		}
	})
}

func TestTextsThatDifferTooMuchAreShownWhole(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a\n", 2*maxEdits), strings.Repeat("b\n", 2*maxEdits)
	got := unified(a, b)
	if n := strings.Count(got, "\n-a"); n != 2*maxEdits {
		t.Errorf("%d lines go", n)
	}
}
