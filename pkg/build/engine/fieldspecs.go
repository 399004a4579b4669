package engine

import (
	_ "embed"
	"fmt"
	"sort"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/kustomize/kyaml/utils"
)

// specs is what kustomize's transformers are configured with when a kustomization brings no configuration of its own.
type specs struct {
	lists map[string]types.FsSlice
	// references say in which fields objects of a kind are referred to by their names.
	references []reference
	// paths are those of the references' fields, split.
	paths map[string][]string
}

// reference is a kind of object, and the fields that name one.
type reference struct {
	to     resid.Gvk
	fields types.FsSlice
}

//go:embed fieldspecs.txt
var table string

var defaultSpecs = sync.OnceValue(func() *specs {
	s, err := parseSpecs(table)
	if err == nil {
		err = s.merge()
	}
	if err != nil {
		panic(fmt.Sprintf("default field specs: %v", err)) // they are part of the program, and tested
	}
	return s
})

func parseSpecs(table string) (*specs, error) {
	s := &specs{lists: map[string]types.FsSlice{}}
	list := ""
	for _, line := range strings.Split(table, "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, "\t") && len(fields) == 1:
			list = fields[0]
		case !strings.HasPrefix(line, "\t") && len(fields) == 4 && fields[0] == "nameReference":
			list = ""
			s.references = append(s.references, reference{to: gvk(fields[1:])})
		case len(fields) == 5:
			spec := types.FieldSpec{Gvk: gvk(fields), CreateIfNotPresent: fields[3] == "+", Path: fields[4]}
			if list != "" {
				s.lists[list] = append(s.lists[list], spec)
				continue
			}
			last := &s.references[len(s.references)-1]
			last.fields = append(last.fields, spec)
		default:
			return nil, fmt.Errorf("line %q", line)
		}
	}
	return s, nil
}

func gvk(fields []string) resid.Gvk {
	part := func(i int) string { return strings.Trim(fields[i], "-") }
	return resid.Gvk{Kind: part(0), Version: part(1), Group: part(2)}
}

// merge brings the specs into the order that kustomize has them in: it sorts them as it reads them, with a sort that is
// not stable, then merges them into an empty configuration, which leaves out what is there twice, and sorts again.
func (s *specs) merge() error {
	for name, list := range s.lists {
		sort.Sort(list)
		merged, err := types.FsSlice(nil).MergeAll(list)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sort.Sort(merged)
		s.lists[name] = merged
	}
	sort.Sort(byKind(s.references))
	var merged []reference
	for _, r := range s.references {
		known := -1
		for i := range merged {
			if merged[i].to.Equals(r.to) {
				known = i
			}
		}
		if known < 0 {
			merged = append(merged, r)
			continue
		}
		fields, err := merged[known].fields.MergeAll(r.fields)
		if err != nil {
			return fmt.Errorf("%s: %w", r.to, err)
		}
		merged[known].fields = fields
	}
	sort.Sort(byKind(merged))
	s.references, s.paths = merged, map[string][]string{}
	for _, r := range merged {
		for _, field := range r.fields {
			s.paths[field.Path] = utils.PathSplitter(field.Path, "/")
		}
	}
	return nil
}

type byKind []reference

func (s byKind) Len() int           { return len(s) }
func (s byKind) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s byKind) Less(i, j int) bool { return s[i].to.IsLessThan(s[j].to) }
