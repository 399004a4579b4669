package bucket_test

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestABucketIsFollowed(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a.yaml": "1", "dir/b c+d.yaml": "2", "dir/": "", "empty": ""})
	u := b.upstream()
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "dir/b c+d.yaml": "2", "empty": ""}, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	first := b.resolve(u)
	b.put(map[string]string{"a.yaml": "changed", "new.yaml": "3"})
	if err := b.s3.Delete("app", "empty"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a.yaml": "changed", "dir/b c+d.yaml": "2", "new.yaml": "3"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree after changes (-want +got):\n%s", diff)
	}
	if second := b.resolve(u); second == first {
		t.Error("the revision is what it was")
	}
}

func TestTheStatusRepeatsWhatIsIgnored(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a.yaml": "1", "a.txt": "2"})
	ignore := "*.txt"
	for want, u := range map[string]source.Upstream{
		"":                           b.upstream(),
		`{"observedIgnore":"*.txt"}`: b.upstream(func(_ *source.Upstream, s *flux.Bucket) { s.Ignore = &ignore }),
	} {
		fetched, err := b.fetcher.Fetch(t.Context(), u, b.resolve(u))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(fetched.Detail.Observed); got != want {
			t.Errorf("observed %s, want %s", got, want)
		}
	}
}

// The lines are those of source-controller's index: key, space, ETag, newline, in the order of the keys' bytes.
func TestTheRevisionIsWhatFluxMakesOfTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{PageSize: 2})
	b.put(map[string]string{"b": "2", "a/z": "1", "a.yaml": "3", "a-b": "4", "B": "5", ".sourceignore": "*.md\n", "x.md": ""})
	etag := func(content string) string { return fmt.Sprintf("%x", md5.Sum([]byte(content))) }
	lines := "B " + etag("5") + "\na-b " + etag("4") + "\na.yaml " + etag("3") + "\na/z " + etag("1") + "\nb " + etag("2") + "\n"
	want := fleet.Revision(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(lines))))
	if got := b.resolve(b.upstream()).Revision; got != want {
		t.Errorf("revision %s, want %s", got, want)
	}
	if got := bucket.Revision([]bucket.Object{{Key: "bar", ETag: `"0xa"`}, {Key: "foo", ETag: ""}}); got != fleet.Revision(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("bar \"0xa\"\nfoo \n")))) {
		t.Errorf("revision %s", got)
	}
	if got := bucket.Revision(nil); got != "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("revision %s of nothing", got)
	}
}

// Of an ignore file only the root's counts, and nothing is left out by itself: as in Flux, whose revision would be another
// one.
func TestWhatIsIgnoredIsNeitherListedNorFetched(t *testing.T) {
	t.Parallel()
	ignore := "!keep.md\n"
	for name, tc := range map[string]struct {
		objects map[string]string
		prefix  string
		ignore  *string
		want    map[string]string
	}{
		"nothing": {
			map[string]string{"a.jpg": "1", ".git/config": "2", ".github/x": "3", ".gitignore": "4"}, "", nil,
			map[string]string{"a.jpg": "1", ".git/config": "2", ".github/x": "3", ".gitignore": "4"},
		},
		"an ignore file": {
			map[string]string{".sourceignore": "*.md\n/docs/\n!docs/b\n", "a.md": "1", "docs/a": "2", "docs/b": "3", "x/docs/a": "4", "x/.sourceignore": "*\n"}, "", nil,
			map[string]string{"docs/b": "3", "x/docs/a": "4", "x/.sourceignore": "*\n"},
		},
		"the spec after the file": {
			map[string]string{".sourceignore": "*.md\n", "a.md": "1", "keep.md": "2"}, "", &ignore, map[string]string{"keep.md": "2"},
		},
		"a prefix, and the root's file": {
			map[string]string{".sourceignore": "*.md\n", "apps/a.md": "1", "apps/b": "2", "apps2/c": "3", "other": "4", "apps/.sourceignore": "*\n"}, "apps/", nil,
			map[string]string{"apps/b": "2", "apps/.sourceignore": "*\n"},
		},
		"odd keys": {
			map[string]string{".sourceignore": "/odd*\n", "odd\\name": "1", "odd//b": "2", "a": "3"}, "", nil, map[string]string{"a": "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, lab.S3Config{})
			b.put(tc.objects)
			u := b.upstream(func(_ *source.Upstream, spec *flux.Bucket) { spec.Prefix, spec.Ignore = tc.prefix, tc.ignore })
			if diff := cmp.Diff(tc.want, b.fetch(u)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnUnchangedBucketCostsOneList(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{".sourceignore": "*.md\n", "a": "1", "b": "2"})
	u := b.upstream(region)
	b.fetch(u)
	before := len(b.s3.Visits())
	b.resolve(u)
	if got := len(b.s3.Visits()) - before; got != 1 {
		t.Errorf("%d requests, want one list: %+v", got, b.s3.Visits()[before:])
	}
}

func TestAChangeCostsTheObjectsThatChanged(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	objects := map[string]string{}
	for i := range 50 {
		objects[fmt.Sprint("apps/", i)] = fmt.Sprint(i)
	}
	b.put(objects)
	u := b.upstream(region)
	b.fetch(u)
	puts, before := b.store.count, len(b.s3.Visits())
	b.put(map[string]string{"apps/7": "changed"})
	got := b.fetch(u)
	if got["apps/7"] != "changed" || len(got) != 50 {
		t.Errorf("%d files, apps/7 is %q", len(got), got["apps/7"])
	}
	if visits := b.s3.Visits()[before:]; len(visits) != 2 || visits[1].Path != "/app/apps/7" {
		t.Errorf("requests %+v, want a list and an object", visits)
	}
	if b.store.count-puts != 1 {
		t.Errorf("%d blobs were put", b.store.count-puts)
	}
}

func TestWhatTheStoreLostIsFetchedAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1", "b": "2"})
	u := b.upstream()
	b.fetch(u)
	gets := b.s3.Gets()
	b.store.lose()
	if got := b.fetch(u); got["a"] != "1" || b.s3.Gets() != gets+2 {
		t.Errorf("tree %v, %d objects asked for", got, b.s3.Gets()-gets)
	}
}

func TestBucketsOfOneListShareIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a.md": "1", "b": "2"})
	begun := time.Now()
	b.resolve(b.upstream(region))
	lists := b.s3.Lists()
	ignore := "*.md\n"
	other := b.upstream(region, func(u *source.Upstream, spec *flux.Bucket) { spec.Ignore = &ignore; u.AsOf = begun })
	if diff := cmp.Diff(map[string]string{"b": "2"}, b.fetch(other)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if got := b.s3.Lists(); got != lists {
		t.Errorf("%d lists more, want none: the first will do", got-lists)
	}
	other.AsOf = time.Now()
	b.resolve(other)
	if got := b.s3.Lists(); got != lists+1 {
		t.Errorf("%d lists more, want one: the first is too old", got-lists)
	}
}

func TestATreeIsTheSameInWhateverOrderItComes(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("dir-%d/%d.yaml", i%7, i))
	}
	var digest fleet.Digest
	for round := range 3 {
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys {
			b.put(map[string]string{key: key})
		}
		fetcher := newFetcher(t, bucket.Config{})
		found, err := fetcher.Resolve(t.Context(), b.upstream())
		if err != nil {
			t.Fatal(err)
		}
		fetched, err := fetcher.Fetch(t.Context(), b.upstream(), found)
		if err != nil {
			t.Fatal(err)
		}
		if got := fetched.Tree.Digest(); round > 0 && got != digest {
			t.Errorf("digest %s, before %s", got, digest)
		} else {
			digest = got
		}
	}
}

// An object that is written while the bucket is fetched is asked for once more, and makes the next revision.
func TestAnObjectThatChangesBetweenListAndFetchIsNotMixedIn(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1", "b": "2"})
	u := b.upstream(region)
	found := b.resolve(u)
	b.put(map[string]string{"a": "changed"})
	before := b.s3.Gets()
	_, err := b.fetcher.Fetch(t.Context(), u, found)
	if source.KindOf(err) != source.KindServer || !strings.Contains(err.Error(), "changed while it was fetched") {
		t.Errorf("error %v, want that the bucket changed", err)
	}
	if got := b.s3.Count(func(v lab.Visit) bool { return v.Path == "/app/a" }); got != 2 || b.s3.Gets() == before {
		t.Errorf("a was asked for %d times, want twice", got)
	}
	if got := b.fetch(u); got["a"] != "changed" {
		t.Errorf("tree %v, want the change", got)
	}
}

func TestARevisionThatIsGoneIsNotMadeUp(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	old := b.resolve(b.upstream())
	b.put(map[string]string{"a": "2"})
	b.resolve(b.upstream())
	if _, err := b.fetcher.Fetch(t.Context(), b.upstream(), old); source.KindOf(err) != source.KindServer {
		t.Errorf("error %v, want that the bucket changed", err)
	}
}

func TestAStoreThatFailsIsNoFailureOfTheBucket(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	b.store.fail = errors.New("no space: secret detail")
	err := try(t, b.fetcher, b.upstream())
	if source.KindOf(err) != source.KindStore || !errors.Is(err, b.store.fail) || strings.Contains(err.Error(), "secret detail") {
		t.Errorf("%s error %v, want one of the store that shows no detail", source.KindOf(err), err)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"one/a": "1", "one/b": "2", "two/a": "3", "two/b": "4"})
	b.fetcher = newFetcher(t, bucket.Config{Store: b.store, Remembered: 5})
	at := func(prefix string) source.Upstream {
		return b.upstream(region, func(_ *source.Upstream, spec *flux.Bucket) { spec.Prefix = prefix })
	}
	gets := func(prefix string) int {
		b.fetch(at(prefix))
		return b.s3.Count(func(v lab.Visit) bool { return v.Method == http.MethodGet && strings.HasPrefix(v.Path, "/app/"+prefix) })
	}
	gets("one/")
	if again := gets("one/"); again != 2 {
		t.Errorf("%d objects of one/ were asked for, want each once", again)
	}
	gets("two/") // one/ is forgotten
	if again := gets("one/"); again != 4 {
		t.Errorf("%d objects of one/ were asked for, want each twice", again)
	}
}

// region spares the question where the bucket is.
func region(_ *source.Upstream, spec *flux.Bucket) { spec.Region = "us-east-1" }
