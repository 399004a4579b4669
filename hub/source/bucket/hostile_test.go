package bucket_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// listed is an object as a hostile list has it.
type listed struct {
	Key, ETag string
	Size      int64
}

// page is a page of a list.
type page struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
}

// hostile is a server that lists as it likes; get answers for objects, nil: each has its key as content.
func hostile(t *testing.T, list func(asked int) any, get http.HandlerFunc) (source.Upstream, *lab.Site) {
	t.Helper()
	asked := 0
	site := lab.TestSite(t, lab.SiteConfig{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") != "" {
			switch page := list(asked).(type) {
			case string:
				_, _ = io.WriteString(w, page)
			default:
				_ = xml.NewEncoder(w).Encode(page)
			}
			asked++
			return
		}
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		if get != nil {
			get(w, r)
			return
		}
		_, _ = io.WriteString(w, strings.TrimPrefix(r.URL.Path, "/app/"))
	}))
	return finish(source.Upstream{}, flux.Bucket{BucketName: "app", Endpoint: site.Host(), Insecure: true, Region: "us-east-1"}), site
}

func one(objects ...listed) func(int) any {
	return func(int) any { return page{Contents: objects} }
}

func TestAHostileBucketIsBounded(t *testing.T) {
	t.Parallel()
	limits := source.Limits{Entries: 5000, File: 1 << 20, Tree: 3 << 20}
	big := strings.Repeat("x", 2<<20)
	for name, tc := range map[string]struct {
		list func(int) any
		get  http.HandlerFunc
		kind source.Kind
		want string
	}{
		"an endless list": {
			func(asked int) any {
				p := page{IsTruncated: true, NextContinuationToken: fmt.Sprint(asked)}
				for i := range 1000 {
					p.Contents = append(p.Contents, listed{Key: fmt.Sprint(asked, "-", i)})
				}
				return p
			}, nil, source.KindLimit, "it has more than 5000 objects; a source may have that many: give spec.prefix",
		},
		"a list that repeats itself": {
			func(asked int) any {
				return page{IsTruncated: true, NextContinuationToken: "again", Contents: []listed{{Key: "a"}}}
			}, nil, source.KindLimit, "its list has more than 2000 pages; give spec.prefix",
		},
		"an endless list of nothing": {
			func(asked int) any { return page{IsTruncated: true, NextContinuationToken: fmt.Sprint(asked)} }, nil, source.KindLimit, "pages",
		},
		"a page without an end": {
			func(int) any {
				return "<ListBucketResult>" + strings.Repeat("<Contents><Key>"+strings.Repeat("k", 1000)+"</Key></Contents>", 9000)
			}, nil, source.KindLimit, "a page of its list has more than 8 MiB",
		},
		"a page of empty elements": {
			func(int) any {
				return "<ListBucketResult>" + strings.Repeat("<Contents/>", 400_000) + "</ListBucketResult>"
			}, nil, source.KindLimit, "more elements than those of a thousand objects",
		},
		"a list that is none": {
			func(int) any { return `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><Other/>` }, nil, source.KindServer, "is no list of a bucket",
		},
		"entities": {
			func(int) any {
				return `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><ListBucketResult><Contents><Key>&b;</Key></Contents></ListBucketResult>`
			}, nil, source.KindServer, "not understood",
		},
		"a size that is too large":   {one(listed{"a", "e", 2 << 20}), nil, source.KindLimit, `the object "a" has 2097152 bytes; a file may have 1048576: leave it out`},
		"sizes too large together":   {one(listed{"a", "e", 1 << 20}, listed{"b", "e", 1 << 20}, listed{"c", "e", 1 << 20}, listed{"d", "e", 1}), nil, source.KindLimit, "its files have more than 3 MiB together"},
		"a size that is negative":    {one(listed{"a", "e", -5}), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) }, source.KindLimit, "more than 1048576 bytes"},
		"a size that is a lie, less": {one(listed{"a", "e", 5}), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) }, source.KindServer, `the object "a" came with`},
		"a size that is a lie, more": {one(listed{"a", "e", 5}), nil, source.KindServer, `the object "a" came with 1 bytes, and the list says 5; it is tried again`},
		"an object without an end": {
			one(listed{"a", "", -1}), func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := io.WriteString(w, big); err != nil {
						return
					}
				}
			}, source.KindLimit, "more than 1048576 bytes",
		},
		"a packed object": {
			one(listed{"a", "e", 3}), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, "xyz")
			}, "", "",
		},
		"an ignore file too large": {
			one(listed{".sourceignore", "e", 2 << 20}), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) }, source.KindLimit, ".sourceignore has more than 1024 KiB",
		},
		"an ignore file of too many patterns": {
			one(listed{".sourceignore", "e", 40_000}), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("a*\n", 40_000)[:40_000])
			}, source.KindLimit, "may have 10000 patterns",
		},
		"a key outside of the prefix": {one(listed{"other", "e", 5}), nil, source.KindServer, "is no list of a bucket"},
		"a key twice":                 {one(listed{"a", "e", 9}, listed{"a", "e", 1}), nil, "", ""},
		"a file and a directory":      {one(listed{"a", "e", 1}, listed{"a/b", "e", 3}), nil, source.KindContent, `"a": it is a file and a directory`},
		"another ETag": {one(listed{"a", "e", 1}), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"other"`)
			_, _ = io.WriteString(w, "a")
		}, source.KindServer, "changed while it was fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, _ := hostile(t, tc.list, tc.get)
			if name == "a key outside of the prefix" {
				spec := u.Spec.(flux.Bucket)
				spec.Prefix = "apps/"
				u.Spec = spec
			}
			limits := limits
			if name == "an ignore file too large" {
				limits.File = 0 // it may be less than other files
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := try(t, newFetcher(t, bucket.Config{Limits: limits}), u)
			runtime.ReadMemStats(&after)
			if after.HeapSys > before.HeapSys+(512<<20) {
				t.Errorf("the heap grew by %d MiB", (after.HeapSys-before.HeapSys)>>20)
			}
			if tc.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkFailure(t, err, tc.kind, nil, tc.want)
		})
	}
}

// hostileKeys are keys that are no paths of files, whatever they look like once they are resolved, decoded or cut.
var hostileKeys = []string{
	"../etc/passwd", "a/../../b", "a/..", "..", "./a", "a/./b", "a/.", ".", "/etc/passwd", "//a", "a//b", "///",
	"a\\b", "..\\..\\a", "\\\\host\\share", "C:/windows", "c:a", "a\x00b", "a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "a/\xff\xfe", "\xc0\xae\xc0\xae/a",
	strings.Repeat("a", 300), strings.Repeat("a/", 70) + "a", strings.Repeat("a/b", 2000), "a/" + strings.Repeat("é", 200),
}

func TestAKeyThatIsNoPathIsRefusedByName(t *testing.T) {
	t.Parallel()
	for i, key := range hostileKeys {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if err := bucket.CheckKey(key); err == nil {
				t.Errorf("%q is taken", key)
			} else {
				checkKeyError(t, key, err)
			}
			if !utf8.ValidString(key) || strings.ContainsAny(key, "\x00\x1b") {
				return // no XML holds it
			}
			u, _ := hostile(t, one(listed{"good", "e", 4}, listed{strings.ReplaceAll(key, "\r", "%0D"), "e", 1}), nil)
			err := try(t, newFetcher(t, bucket.Config{}), u)
			if key == "///" || strings.Contains(key, "\r") {
				return // a marker of a directory; a list has it in other words
			}
			if source.KindOf(err) != source.KindContent || !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%q: error %v", key, err)
			}
			checkKeyError(t, key, err)
		})
	}
}

func checkKeyError(t *testing.T, key string, err error) {
	t.Helper()
	quoted := fmt.Sprintf("%q", key)
	shown := strings.TrimSuffix(quoted[:min(len(quoted), 60)], `"`)
	if text := err.Error(); !strings.Contains(text, "the object "+shown) || len(text) > 1000 || strings.ContainsAny(text, "\x00\x1b\n\r") {
		t.Errorf("the error does not name the key, or shows it as it is: %q", text)
	}
}

// What a key is taken for is the path of a file below the root, and the same key.
func FuzzKeys(f *testing.F) {
	for _, key := range append([]string{"a", "a/b.yaml", ".sourceignore", "ä/ö", "a b", "-rf"}, hostileKeys...) {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		err := bucket.CheckKey(key)
		tree, refused := artifact.NewTree([]artifact.File{{Path: key}})
		if (err == nil) != (refused == nil) {
			t.Fatalf("%q: key %v, tree %v", key, err, refused)
		}
		if err != nil {
			checkKeyError(t, key, err)
			return
		}
		if tree.Files[0].Path != key || strings.HasPrefix(key, "/") || strings.ContainsAny(key, "\\\x00") {
			t.Errorf("%q became %q", key, tree.Files[0].Path)
		}
		for part := range strings.SplitSeq(key, "/") {
			if part == "" || part == "." || part == ".." {
				t.Errorf("%q has the part %q", key, part)
			}
		}
	})
}
