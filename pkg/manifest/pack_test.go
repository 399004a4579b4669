package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

func TestUnpackOfPackIsTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, baseBlobs := drawManifest(t, "base")
		target, targetBlobs := drawManifest(t, "target")
		if rapid.Bool().Draw(t, "no base") {
			base, baseBlobs = nil, nil
		}
		pack, err := manifest.Pack(base, target, from(targetBlobs))
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		got, blobs, err := manifest.Unpack(pack, base, target.Digest())
		if err != nil {
			t.Fatalf("Unpack: %v", err)
		}
		if !bytes.Equal(got.Encode(), target.Encode()) {
			t.Errorf("the manifest is another one")
		}
		if diff := cmp.Diff(target.Entries, got.Entries); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
		maps.Copy(blobs, baseBlobs)
		for _, entry := range target.Entries {
			if !bytes.Equal(blobs[entry.Digest], targetBlobs[entry.Digest]) {
				t.Errorf("the blob of %s is missing", entry.Ref)
			}
		}
	})
}

func TestAPackCarriesOnlyWhatTheBaseLacks(t *testing.T) {
	t.Parallel()
	base, _ := workloads(t, 1000, nil)
	target, blobs := workloads(t, 1000, map[int]string{500: "v2"})
	asked := map[fleet.Digest]bool{}
	pack, err := manifest.Pack(base, target, func(d fleet.Digest) ([]byte, error) {
		asked[d] = true
		return blobs[d], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := manifest.Unpack(pack, base, target.Digest())
	if err != nil || len(got) != 1 || len(asked) != 1 {
		t.Errorf("%d blobs came and %d were asked for, %v; want 1", len(got), len(asked), err)
	}
	if len(pack) > 2048 {
		t.Errorf("the pack of one changed image in 1,000 objects has %d bytes", len(pack))
	}
	same, err := manifest.Pack(target, target, from(nil))
	if err != nil || len(same) > 128 {
		t.Errorf("the pack of no change has %d bytes, %v", len(same), err)
	}
}

func TestADigestOutlivesTheVersionThatMadeIt(t *testing.T) {
	t.Parallel()
	base := mustNew(t, object("v1", "ConfigMap", "x", "a"))
	old, blobs, err := manifest.New(documents(object("v1", "ConfigMap", "x", "a"), object("v1", "ConfigMap", "x", "b")), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A newer hub knows a field more.
	newer := mustDecode(t, bytes.ReplaceAll(old.Encode(), []byte(`"stage":2`), []byte(`"sops":true,"stage":2`)))
	if newer.Digest() == old.Digest() {
		t.Fatal("the field changed nothing")
	}
	if again := mustDecode(t, newer.Encode()); again.Digest() != newer.Digest() {
		t.Error("decoding changed the digest")
	}
	pack, err := manifest.Pack(base, newer, from(blobs))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := manifest.Unpack(pack, base, newer.Digest()); err != nil || got.Digest() != newer.Digest() {
		t.Errorf("unpacked manifest: %v", err)
	}
}

func TestUnpackRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	base := mustNew(t, object("v1", "ConfigMap", "x", "a"), object("v1", "ConfigMap", "x", "b"))
	target, blobs, err := manifest.New(documents(object("v1", "ConfigMap", "x", "b"), object("v1", "Secret", "x", "c")), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pack, err := manifest.Pack(base, target, from(blobs))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := manifest.Unpack(pack, nil, target.Digest()); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("no base: %v, want a conflict", err)
	}
	if _, _, err := manifest.Unpack(pack, target, target.Digest()); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("another base: %v, want a conflict", err)
	}
	if _, _, err := manifest.Unpack(pack, base, base.Digest()); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("another target: %v, want invalid", err)
	}
	plain := mustZstd(t, pack)
	for i := range plain { // whatever byte is changed: it does not fit
		bad := bytes.Clone(plain)
		bad[i] ^= 1
		if m, _, err := manifest.Unpack(compress(t, bad), base, target.Digest()); err == nil {
			t.Errorf("byte %d changed: %d entries and no error", i, len(m.Entries))
		}
	}
	for i := range plain {
		if _, _, err := manifest.Unpack(compress(t, plain[:i]), base, target.Digest()); err == nil {
			t.Errorf("cut off after %d bytes: no error", i)
		}
	}
	if _, _, err := manifest.Unpack(compress(t, append(bytes.Clone(plain), 0)), base, target.Digest()); err == nil {
		t.Error("one byte more: no error")
	}
}

func TestABombCostsUnpackLittle(t *testing.T) {
	base := mustNew(t, object("v1", "ConfigMap", "x", "a"))
	digest := base.Digest()
	head := append([]byte("flotilla pack 1\n"), digest[:]...)
	for name, plain := range map[string][]byte{
		"entries without end":  append(append(bytes.Clone(head), 0x80, 0x80, 0x80, 0x08), make([]byte, 256<<20)...),
		"a length without end": append(bytes.Clone(head), 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		pack := compress(t, plain)
		grown := growth(func() {
			if _, _, err := manifest.Unpack(pack, base, digest); !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%s: %v, want invalid", name, err)
			}
		})
		if grown > 200<<20 { // its entries are 256 MiB; buffers grow by doubling up to their bound of 16
			t.Errorf("%s: %d MiB were allocated for %d bytes", name, grown>>20, len(pack))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := string(mustNew(t, object("v1", "ConfigMap", "x", "a"), object("v1", "ConfigMap", "x", "b")).Encode())
	lines := strings.SplitAfter(good, "\n")
	for name, bad := range map[string]string{
		"nothing":          "",
		"another version":  strings.Replace(good, "manifest 1", "manifest 2", 1),
		"cut off":          good[:len(good)-1],
		"not JSON":         lines[0] + "{\n",
		"an empty line":    good + "\n",
		"out of order":     lines[0] + lines[2] + lines[1],
		"twice":            lines[0] + lines[1] + lines[1],
		"two versions":     lines[0] + lines[1] + strings.Replace(lines[1], `"v1"`, `"v2"`, 1),
		"no name":          strings.Replace(good, `"name":"a"`, `"name":""`, 1),
		"no digest":        strings.Replace(good, `"digest":"sha256:`, `"digest":"","x":"`, 1),
		"size 0":           strings.Replace(good, `"size":`, `"size":0,"x":`, 1),
		"size of an ocean": strings.Replace(good, `"size":`, `"size":9999999999,"x":`, 1),
		"unknown stage":    strings.Replace(good, `"stage":2`, `"stage":3`, 1),
		"unknown ssa":      strings.Replace(good, `"stage":2`, `"stage":2,"ssa":9`, 1),
	} {
		if _, err := manifest.Decode([]byte(bad)); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if m := mustDecode(t, []byte(lines[0])); len(m.Entries) != 0 || m.Digest() != mustNew(t).Digest() {
		t.Errorf("an empty manifest: %+v", m)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(mustNew(f, object("v1", "ConfigMap", "x", "a"), object("v1", "Namespace", "", "b")).Encode())
	f.Add(mustNew(f).Encode())
	f.Add([]byte("flotilla manifest 1\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Decode(data)
		if err != nil {
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%v is not an invalid error", err)
			}
			return
		}
		if m.Digest() != fleet.DigestOf(data) {
			t.Error("decoding changed the digest")
		}
		copied := manifest.Manifest{Entries: m.Entries}
		if again := mustDecode(t, copied.Encode()); !cmp.Equal(again.Entries, m.Entries, cmpopts.EquateEmpty()) {
			t.Error("the entries do not encode")
		}
	})
}

func FuzzUnpack(f *testing.F) {
	base := mustNew(f, object("v1", "ConfigMap", "x", "a"), object("v1", "ConfigMap", "x", "b"))
	target, blobs, err := manifest.New(documents(object("v1", "ConfigMap", "x", "b"), object("v1", "Secret", "x", "c")), manifest.Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, from0 := range []*manifest.Manifest{base, nil} {
		pack, err := manifest.Pack(from0, target, from(blobs))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(mustZstd(f, pack), true)
		f.Add(pack, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, plain bool) {
		if plain {
			data = compress(t, data)
		}
		for _, from := range []*manifest.Manifest{base, nil} {
			m, got, err := manifest.Unpack(data, from, target.Digest())
			switch {
			case err == nil && (m.Digest() != target.Digest() || len(got) == 0):
				t.Error("another manifest was taken for the wanted one")
			case err != nil && !errors.Is(err, fleet.ErrInvalid) && !errors.Is(err, fleet.ErrConflict):
				t.Errorf("%v is neither invalid nor a conflict", err)
			}
		}
	})
}

func BenchmarkPack(b *testing.B) {
	base, _ := workloads(b, 1000, nil)
	target, blobs := workloads(b, 1000, map[int]string{500: "v2"})
	for name, base := range map[string]*manifest.Manifest{"one changed of 1000": base, "all of 1000": nil} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				pack, err := manifest.Pack(base, target, from(blobs))
				if err != nil {
					b.Fatal(err)
				}
				size = len(pack)
			}
			b.ReportMetric(float64(size), "pack-bytes")
			b.ReportMetric(float64(target.Size()), "object-bytes")
		})
	}
	b.Run("unpack one changed of 1000", func(b *testing.B) {
		pack, err := manifest.Pack(base, target, from(blobs))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, _, err := manifest.Unpack(pack, base, target.Digest()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	docs := workloadDocuments(1000, nil)
	for b.Loop() {
		if _, _, err := manifest.New(docs, manifest.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// workloads is a manifest of Deployments with their images.
func workloads(t testing.TB, count int, images map[int]string) (*manifest.Manifest, manifest.Blobs) {
	t.Helper()
	m, blobs, err := manifest.New(workloadDocuments(count, images), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, blobs
}

func workloadDocuments(count int, images map[int]string) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var docs [][]byte
	for i := range count {
		tag := images[i]
		if tag == "" {
			tag = "v1"
		}
		docs = append(docs, fmt.Appendf(nil, `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[1]d
  namespace: apps
  labels: {app.kubernetes.io/name: web-%[1]d, app.kubernetes.io/part-of: shop}
  annotations: {checksum/config: %016[3]x%016[4]x}
spec:
  replicas: 3
  selector: {matchLabels: {app: web-%[1]d}}
  template:
    metadata: {labels: {app: web-%[1]d}}
    spec:
      serviceAccountName: web-%[1]d
      containers:
      - name: web
        image: registry.example.com/shop/web-%[1]d:%[2]s
        ports: [{containerPort: 8080, name: http}]
        env:
        - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: web-%[1]d, key: url}}}
        - {name: TOKEN, value: %016[5]x}
        readinessProbe: {httpGet: {path: /ready, port: http}}
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
        volumeMounts: [{name: config, mountPath: /etc/web}]
      volumes:
      - {name: config, configMap: {name: web-%[1]d}}
`, i, tag, random.Uint64(), random.Uint64(), random.Uint64()))
	}
	return docs
}

// growth is what a function allocates.
func growth(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func drawManifest(t *rapid.T, label string) (*manifest.Manifest, manifest.Blobs) {
	names := rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 0, 30, rapid.ID).Draw(t, label)
	var docs []string
	for _, name := range names {
		kind := rapid.SampledFrom([]string{"ConfigMap", "Secret", "Namespace"}).Draw(t, "kind")
		data := rapid.IntRange(0, 2).Draw(t, "content")
		docs = append(docs, fmt.Sprintf(`{"apiVersion":"v1","kind":%q,"metadata":{"name":"n%d"},"data":{"v":"%d"}}`, kind, name, data))
	}
	m, blobs, err := manifest.New(documents(docs...), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, blobs
}

func from(blobs manifest.Blobs) func(fleet.Digest) ([]byte, error) {
	return func(d fleet.Digest) ([]byte, error) {
		if data, has := blobs[d]; has {
			return data, nil
		}
		return nil, fleet.ErrNotFound
	}
}

func mustDecode(t testing.TB, data []byte) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return encoder.EncodeAll(data, nil)
}

func mustZstd(t testing.TB, pack []byte) []byte {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	plain, err := decoder.DecodeAll(pack, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plain)
}
