package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhereKeyAndBlobsAreIsSaidOnceAndRight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for name, text := range map[string]string{good: "access\nsecret\n", bad: "canary"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := strings.Repeat("0a", 32)
	const blobs = "s3://blobs/one?endpoint=minio:9000"
	for name, test := range map[string]struct {
		config Config
		want   string // empty: it is taken
	}{
		"nothing":              {Config{}, ""},
		"a file":               {Config{KeyFile: "x"}, ""},
		"the environment":      {Config{Key: key}, ""},
		"a Secret":             {Config{KeySecret: "flotilla-system/hub-key"}, ""},
		"a Secret's key":       {Config{KeySecret: "flotilla-system/hub-key/root.key", Kubeconfig: "x"}, ""},
		"file and environment": {Config{KeyFile: "x", Key: key}, "the key is given twice: of --key-file, FLOTILLA_KEY and --key-secret give one"},
		"all three":            {Config{KeyFile: "x", Key: key, KeySecret: "a/b"}, "the key is given twice"},
		"no key":               {Config{Key: "canary"}, "FLOTILLA_KEY: invalid: it is not a key of 32 bytes"},
		"no Secret":            {Config{KeySecret: "hub-key"}, `--key-secret "hub-key" is not NAMESPACE/NAME`},
		"a path as a Secret":   {Config{KeySecret: "a/../b"}, "--key-secret"},
		"a kubeconfig alone":   {Config{Kubeconfig: "x"}, "--kubeconfig says nothing without --key-secret"},
		"blobs":                {Config{Blobs: blobs, BlobsAccessKey: "a", BlobsSecretKey: "s"}, ""},
		"blobs by a file":      {Config{Blobs: blobs, BlobsCredentialFile: good}, ""},
		"no credential":        {Config{Blobs: blobs}, "--blobs: it needs a credential: set FLOTILLA_BLOBS_ACCESS_KEY and FLOTILLA_BLOBS_SECRET_KEY"},
		"half a credential":    {Config{Blobs: blobs, BlobsAccessKey: "a"}, "--blobs: it needs a credential"},
		"two credentials":      {Config{Blobs: blobs, BlobsCredentialFile: good, BlobsAccessKey: "a"}, "give one of them"},
		"a bad file":           {Config{Blobs: blobs, BlobsCredentialFile: bad}, "has not two lines"},
		"no file":              {Config{Blobs: blobs, BlobsCredentialFile: filepath.Join(dir, "none")}, "--blobs-credential-file"},
		"a credential in it":   {Config{Blobs: "s3://canary:canary@blobs?endpoint=x"}, "--blobs: invalid: it holds a credential"},
	} {
		test.config.DataDir = dir
		err := test.config.Validate()
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if text := fmt.Sprint(test.config.withDefaults().LogValue()); strings.Contains(text, key) || test.want == "" && strings.Contains(text, "secret]") {
			t.Errorf("%s: the log shows what is secret: %s", name, text)
		}
	}
}

func TestTheConfigurationNamesItsKeysPlace(t *testing.T) {
	t.Parallel()
	for config, want := range map[*Config]string{
		{DataDir: "/data"}: "key file /data/hub.key", {Key: "x"}: "FLOTILLA_KEY", {KeySecret: "a/b"}: "Secret a/b",
	} {
		if got := keyPlaceOf(config.withDefaults()).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if errors.Is(secretProblem(404, "POST"), fleet.ErrNotFound) {
		t.Error("a namespace that is not there reads as a key that can be made")
	}
}
