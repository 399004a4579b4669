package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// More objects of an App than are corrected at once are edited in the second in which they were applied: some wait for
// their turn, and none of our entries tells by its time that it was written once more.
func TestEachOfManyCorrectionsInTheSecondOfAnApplyIsTold(t *testing.T) {
	for _, kind := range []string{"ConfigMap", "Secret", "Deployment"} {
		t.Run(kind, func(t *testing.T) {
			b := newBundle(t).start()
			k := b.driftKind(kind)
			var names, objects []string
			for i := range 24 {
				names = append(names, fmt.Sprintf("it-%d", i))
				objects = append(objects, strings.Replace(k.object, `"name":"it"`, fmt.Sprintf(`"name":%q`, names[i]), 1))
			}
			b.deploy(objects...)
			var edits sync.WaitGroup
			for _, name := range names {
				edits.Go(func() {
					if _, err := b.tryPatch(k.resource, name, "kustomize-controller", k.edit); err != nil {
						t.Errorf("edit %s: %v", name, err)
					}
				})
			}
			edits.Wait()
			b.eventually("each is put back, and told", func() error {
				told := map[string]bool{}
				for _, event := range b.eventsOf("DriftCorrected") {
					told[event.Object.Name] = true
				}
				if i := slices.IndexFunc(names, func(name string) bool { return !told[name] }); i >= 0 {
					return fmt.Errorf("nothing is told of %s, as of %d others", names[i], len(names)-1-len(told))
				}
				return nil
			})
		})
	}
}
