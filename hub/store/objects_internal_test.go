package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestAllReplicasKeepBlobsInOnePlace(t *testing.T) {
	t.Parallel()
	url, s3 := lab.TestDatabase(t), testS3(t)
	try := func(change func(*Config)) error {
		config := keptConfig(url, s3)
		change(&config)
		s, err := Open(t.Context(), config)
		if err == nil {
			s.Close()
		}
		return err
	}
	same := func(*Config) {}
	rows := func(c *Config) { c.Objects = nil }
	for _, change := range []func(*Config){rows, same} { // an empty store goes where it is told
		if err := try(change); err != nil {
			t.Fatal(err)
		}
	}
	k := openKept(t, url, s3)
	k.put("content")
	other := testS3(t)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // empty: it opens
	}{
		"the same":           {same, ""},
		"in rows":            {rows, "the blobs of this database are in s3://blobs/fleet/one: start every hub with --blobs for it, or move them"},
		"another prefix":     {func(c *Config) { c.Objects.Prefix = "two" }, "are in s3://blobs/fleet/one, not in s3://blobs/two"},
		"a mistyped address": {func(c *Config) { c.Objects.Endpoint = other.Host() }, "what is at that endpoint is another bucket, or was emptied: check --blobs"},
		"a wrong key":        {func(c *Config) { c.Objects.SecretKey = "wrong" }, "object storage refuses the hub's credential (SignatureDoesNotMatch)"},
	} {
		err := try(tc.change)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := Open(t.Context(), keptConfig(lab.TestDatabase(t), s3)); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(fmt.Sprint(err), "holds the blobs of another hub's database") {
		t.Errorf("a second hub's database at the same place: %v", err)
	}
	inRows := openKept(t, lab.TestDatabase(t), nil)
	inRows.put("content")
	if _, err := Open(t.Context(), keptConfig(inRows.url, other)); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(fmt.Sprint(err), "are in the database, not in s3://blobs/fleet/one") {
		t.Errorf("objects where rows are: %v", err)
	}
	// A replica that runs on while the others were told of another place adds nothing to the old one.
	inRows.exec(t, `UPDATE hub SET blobs = 's3://elsewhere'`)
	if err := inRows.Blobs().Put(context.WithoutCancel(t.Context()), map[fleet.Digest][]byte{fleet.DigestOf([]byte("x")): []byte("x")}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("Put: %v", err)
	}
}

// Replicas that start together on an empty storage mark it at once.
func TestReplicasThatMarkAStorageTogetherAllHaveIt(t *testing.T) {
	t.Parallel()
	s3 := testS3(t)
	k := openKept(t, lab.TestDatabase(t), s3)
	for i := range 10 {
		config := *keptConfig(k.url, s3).Objects
		config.Prefix = fmt.Sprint("race/", i)
		o, err := openObjects(config)
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 8)
		var group sync.WaitGroup
		for n := range errs {
			group.Go(func() { errs[n] = k.markObjects(t.Context(), o) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("one that came second: %v", err)
		}
	}
}

func TestObjectStorageIsGivenByURLWithoutItsCredential(t *testing.T) {
	t.Parallel()
	got, err := ParseObjects("s3://blobs/fleet/one/?endpoint=minio:9000&region=eu-1&insecure=true")
	if want := (Objects{Bucket: "blobs", Prefix: "fleet/one", Endpoint: "minio:9000", Region: "eu-1", Insecure: true}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got.Name() != "s3://blobs/fleet/one" || (Objects{Bucket: "b"}).Name() != "s3://b" {
		t.Errorf("name %s", got.Name())
	}
	for text, want := range map[string]string{
		"": "not the URL of a bucket", "http://x/y": "not the URL of a bucket", "s3://": "not the URL of a bucket", "s3://b": "endpoint is not host or host:port",
		"s3://b?endpoint=https://x": "endpoint is not host", "s3://canary:canary@b?endpoint=x": "FLOTILLA_BLOBS_ACCESS_KEY",
		"s3://b?endpoint=x&secret=canary": "other keys than endpoint, region and insecure", "s3://b?endpoint=x&insecure=maybe": "neither true nor false",
	} {
		if _, err := ParseObjects(text); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
