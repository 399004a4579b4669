package engine

import (
	"strconv"

	"sigs.k8s.io/kustomize/api/resource"

	"flotilla.dev/flotilla/pkg/fleet"
)

// replaceTogether runs a replacement whose source is one of its targets: those after it get the value it has by then.
func (b *build) replaceTogether(source *object, selected []*object, r replacement) error {
	t := &together{replacement: r}
	key := newKey("together").digest(r.key)
	for _, o := range selected {
		key.digest(o.key)
		t.members = append(t.members, o.again())
	}
	sum := key.digest(source.key).sum()
	for i, o := range selected {
		a := part{t, i}
		if err := b.act(o, join(sum, fleet.DigestOf([]byte(strconv.Itoa(i)))), o.past.then(a)); err != nil {
			return err
		}
	}
	return nil
}

// together is a replacement in several objects that can only be made in all at once.
type together struct {
	replacement
	members []*object
	// made are the trees that it made, as long as they were not taken.
	made []*resource.Resource
}

// part is what a replacement that is made together makes of one of its objects.
type part struct {
	*together
	index int
}

func (p part) do(b *build, _ *resource.Resource) (*resource.Resource, *facts, error) {
	if p.made == nil || p.made[p.index] == nil {
		made := make([]*resource.Resource, len(p.members))
		for i, o := range p.members {
			tree, _, err := b.look(o.again())
			if err != nil {
				return nil, nil, err
			}
			made[i] = tree
		}
		if err := p.run(made); err != nil {
			return nil, nil, err
		}
		p.made = made
	}
	tree := p.made[p.index]
	p.made[p.index] = nil
	return tree, nil, nil
}
