package deploy_test

import (
	"fmt"
	"testing"
)

// holds waits until that many writes are held back.
func (b *bundle) holds(g *gate, n int) {
	b.Helper()
	b.eventually("writes are held back", func() error {
		if held := g.held(); held < n {
			return fmt.Errorf("%d are", held)
		}
		return nil
	})
}

// A webhook that hangs, for one, holds up the objects it is asked about, and nobody else's.
func TestAPassThatHangsHoldsUpNoOtherAppAndNoCorrection(t *testing.T) {
	b := newBundle(t)
	g := b.gated("slow")
	b.start().canary()
	g.shut()
	target := b.target(b.configMapsNamed(numbered("slow", 40)...)...)
	done := make(chan error, 1)
	go func() { done <- b.engine.Deploy(b.Context(), target) }()
	b.holds(g, 16)
	b.canary() // another App's pass, and its corrections
	if held := g.held(); held > 16 {
		t.Errorf("%d requests of one App are under way", held)
	}
	g.open()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCorrectionsThatHangHoldUpNoOtherApps(t *testing.T) {
	b := newBundle(t)
	g := b.gated("slow")
	b.start().canary()
	names := numbered("slow", 20)
	b.deploy(b.configMapsNamed(names...)...)
	b.judged()
	g.shut()
	for _, name := range names {
		b.patch(configMaps, name, "someone", `{"data":{"key":"2"}}`)
	}
	b.holds(g, 4)
	b.canary()
	if held := g.held(); held > 4 {
		t.Errorf("%d corrections of one App are under way", held)
	}
	g.open()
	for _, name := range names { // none is forgotten
		b.value(configMaps, name, "1", "data", "key")
	}
}
