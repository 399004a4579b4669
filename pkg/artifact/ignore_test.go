package artifact_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestIgnoreFollowsFluxsRules(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec          string
		files         map[string]string
		ignored, kept []string
	}{
		"defaults, without patterns": {
			ignored: []string{".git/config", "sub/.gitignore", ".gitmodules", "a.jpg", "sub/b.png", "c.tar.gz", ".github/workflows/x.yaml", ".travis.yml", "deep/er/.sops.yaml", ".flux.yaml"},
			kept:    []string{"a.yaml", "charts/c.tgz", ".sourceignore", "git/x"},
		},
		"any pattern ends the defaults but for version control's": {
			files:   map[string]string{"sub": "secret.yaml"},
			ignored: []string{"sub/secret.yaml", "sub/deeper/secret.yaml", ".git/config", ".gitattributes"},
			kept:    []string{"secret.yaml", "a.jpg", ".github/x", "x/.sops.yaml"},
		},
		"comments and empty lines are no patterns": {
			files:   map[string]string{".": "# *.yaml\n\n  \n"},
			ignored: []string{"a.jpg"},
			kept:    []string{"a.yaml"},
		},
		"a file of a directory overrules those above it, the spec overrules all": {
			spec:    "/a/b/spec.yaml\n!/a/b/one.yaml",
			files:   map[string]string{"a/b": "!two.yaml\none.yaml", ".": "*.yaml", "a": "!three.yaml\ntwo.yaml"},
			ignored: []string{"x.yaml", "a/two.yaml", "a/b/spec.yaml", "two.yaml"},
			kept:    []string{"a/b/one.yaml", "a/b/two.yaml", "a/three.yaml", "a/b/three.yaml"},
		},
		"a later pattern brings back a file of an ignored directory": {
			spec:    "/*\n!/deploy",
			ignored: []string{"README.md", "src/main.go"},
			kept:    []string{"deploy/app.yaml", "deploy/sub/app.yaml"},
		},
		"ends of lines of other systems": {
			spec:    "a.yaml\r\nb/\r\n",
			ignored: []string{"a.yaml", "b/c"},
			kept:    []string{"c.yaml", "b"},
		},
	} {
		var spec *string
		if test.spec != "" {
			spec = &test.spec
		}
		rules := artifact.NewIgnore(spec)
		for dir, content := range test.files {
			if err := rules.Read(dir, []byte(content)); err != nil {
				t.Fatalf("%s: Read: %v", name, err)
			}
		}
		for _, file := range test.ignored {
			if !rules.Match(file) {
				t.Errorf("%s: %s is kept", name, file)
			}
		}
		for _, file := range test.kept {
			if rules.Match(file) {
				t.Errorf("%s: %s is ignored", name, file)
			}
		}
	}
}

func TestIgnoreIsBounded(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"1 MiB together":   strings.Repeat("a", artifact.MaxIgnoreFile+1),
		"10000 patterns":   strings.Repeat("a\n", 10_001),
		"65536 bytes":      strings.Repeat("*"+strings.Repeat("a", 999)+"\n", 70),
		"patterns with *,": strings.Repeat(`\`, 70_000),
	} {
		rules := artifact.NewIgnore(nil)
		if err := rules.Read("some/dir", []byte(content)); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "some/dir/.sourceignore") {
			t.Errorf("%v; want %s and the file named", err, name)
		}
		if err := artifact.NewIgnore(&content).Err(); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "spec.ignore") {
			t.Errorf("%v; want spec.ignore refused", err)
		}
		if err := artifact.NewIgnore(&content).Read(".", nil); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("Read after a spec that was refused: %v", err)
		}
	}
	// Two files are bounded together.
	rules := artifact.NewIgnore(nil)
	half := []byte(strings.Repeat("a\n", 6_000))
	if err := errors.Join(rules.Read("a", half), rules.Read("b", half)); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("two halves: %v", err)
	}
}

// FuzzIgnore compares with the rules written out plainly.
func FuzzIgnore(f *testing.F) {
	for _, seed := range [][3]string{
		{"*.yaml\n!a.yaml", "dir", "dir/a.yaml"}, {"/a/**/b\n**/c", "", "a/x/y/b"}, {"a/\n", "", "a/b"}, {"**", "", "a"}, {"a*a*a*a*a*b", "", strings.Repeat("a", 200)},
		{"[a-c]x\n\\!y", "", "bx"}, {"[", "", "["}, {"a ", "", "a"}, {"x**/y", "", "xx/y"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, content, dir, file string) {
		if artifact.CheckPath(file) != nil || dir != "" && artifact.CheckPath(dir) != nil || len(content) > 2000 {
			return
		}
		rules := artifact.NewIgnore(nil)
		if rules.Read(dir, []byte(content)) != nil {
			return
		}
		if got, want := rules.Match(file), slowMatch(content, dir, file); got != want {
			t.Errorf("patterns %q in %q, file %q: ignored %v, want %v", content, dir, file, got, want)
		}
	})
}

func slowMatch(content, dir, file string) bool {
	lines := []string{}
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	ignored := false
	defaults := ".git/ .gitignore .gitmodules .gitattributes"
	if len(lines) == 0 {
		defaults += " *.jpg *.jpeg *.gif *.png *.wmv *.flv *.tar.gz *.zip .github/ .circleci/ .travis.yml .gitlab-ci.yml appveyor.yml .drone.yml cloudbuild.yaml codeship-services.yml codeship-steps.yml **/.goreleaser.yml **/.sops.yaml **/.flux.yaml"
	}
	for pattern := range strings.FieldsSeq(defaults) {
		if slowPattern(pattern, file) {
			ignored = true
		}
	}
	inside := file
	if dir != "" {
		var isIn bool
		if inside, isIn = strings.CutPrefix(file, dir+"/"); !isIn {
			return ignored
		}
	}
	for _, line := range lines {
		pattern, brings := strings.CutPrefix(line, "!")
		if slowPattern(pattern, inside) {
			ignored = !brings
		}
	}
	return ignored
}

// slowPattern is a pattern without its "!".
func slowPattern(pattern, file string) bool {
	if !strings.HasSuffix(pattern, `\ `) {
		pattern = strings.TrimRight(pattern, " ")
	}
	pattern, dirOnly := strings.CutSuffix(pattern, "/")
	names := strings.Split(file, "/")
	if !strings.Contains(pattern, "/") {
		for i, name := range names {
			matched, err := path.Match(pattern, name)
			if err != nil {
				return false
			}
			if matched {
				return !dirOnly || i < len(names)-1
			}
		}
		return false
	}
	rest, matched, ok := names, false, true
	anywhere := false
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		switch {
		case part == "":
			anywhere = false
		case part == "**" && i == len(parts)-1:
		case part == "**":
			anywhere = true
		case strings.Contains(part, "**") || len(rest) == 0:
			return false
		case anywhere:
			anywhere = false
			rest, matched, ok = after(part, rest)
			if !ok {
				return false
			}
		default:
			if same, err := path.Match(part, rest[0]); err != nil || !same {
				return false
			}
			rest, matched = rest[1:], true
		}
	}
	return matched && !(dirOnly && len(rest) == 0)
}

// after is what follows the first name that matches; without any there is nothing left, and no match.
func after(part string, names []string) (rest []string, isMatched, ok bool) {
	for i, name := range names {
		same, err := path.Match(part, name)
		if err != nil {
			return nil, false, false
		}
		if same {
			return names[i+1:], true, true
		}
	}
	return nil, false, true
}
