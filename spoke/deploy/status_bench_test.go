package deploy

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// BenchmarkStatusAfterAStart asks for the status of one of 50 Apps, while none of their 25,000 objects has been judged.
// Its times-alone is how much longer that takes than where it is the only App.
func BenchmarkStatusAfterAStart(b *testing.B) {
	const apps, objects = 50, 500
	fleetOf := func(apps int) (*Engine, fleet.Key) {
		e, err := New(Config{REST: &rest.Config{Host: "127.0.0.1:1"}, Blob: func(fleet.Digest) ([]byte, error) { return nil, fleet.ErrNotFound }})
		if err != nil {
			b.Fatal(err)
		}
		var key fleet.Key
		for i := range apps {
			key = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: fmt.Sprint("app", i)}
			inv := inventory.New(key)
			for j := range objects {
				inv.Put(inventory.Entry{Ref: fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: key.Name, Name: fmt.Sprint("c", j)}, UID: "u"})
			}
			a := e.app(key)
			a.inv = inv
			e.adopt(a, inv)
		}
		e.tracker.DoubtKind(func(schema.GroupKind) bool { return true })
		if s := e.Status(key); s.ObjectsNotReady != objects {
			b.Fatalf("%d objects are not ready", s.ObjectsNotReady)
		}
		return e, key
	}
	alone, key := fleetOf(1)
	const tries = 100
	began := time.Now()
	for range tries {
		alone.Status(key)
	}
	one := time.Since(began) / tries

	all, key := fleetOf(apps)
	for b.Loop() {
		all.Status(key)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(one), "times-alone")
}
