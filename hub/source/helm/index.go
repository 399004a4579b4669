package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/maphash"
	"time"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/hub/source"
)

// index is what charts there are, as far as it is needed to choose and to download one.
type index struct {
	charts map[string][]release
	// size is about the bytes of memory it takes.
	size int64
}

// release is a version of a chart.
type release struct {
	version string
	// url is where it is: the first one that the index names, as Flux takes it.
	url string
	// digest is the SHA-256 that the index says it has, in hex; empty: it says none.
	digest  string
	created time.Time
	// text names what it was read from, within this process.
	text uint64
}

// entry is a version of a chart as the index has it: its Chart.yaml, and where it is.
type entry struct {
	metadata
	URLs    []string  `json:"urls"`
	Created time.Time `json:"created"`
	Digest  string    `json:"digest"`
}

// Bounds of an index beside its bytes.
const (
	maxReleases = 100_000
	maxCharts   = 50_000
)

// parseIndex reads an index as helm does: entries that are not valid are passed over, and one without apiVersion is none.
// It parses entry by entry, so that it takes no more memory than the text and what comes of it. Entries that stood in the
// index before this one (nil: there was none) are not parsed again: as a rule an index changes by a few.
func parseIndex(ctx context.Context, data []byte, before *index) (*index, error) {
	data = trimmed(data)
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, wrong("index.yaml is empty")
	}
	p := &indexParser{ctx: ctx, index: &index{charts: map[string][]release{}}, known: before.texts()}
	var err error
	if json.Valid(data) {
		err = p.json(data)
	} else if err = p.yaml(data); err == errNotInParts {
		err = p.whole(data)
	}
	switch {
	case err != nil:
		return nil, err
	case p.apiVersion == "":
		return nil, wrong("index.yaml has no apiVersion; is this the address of a Helm repository?")
	}
	return p.index, nil
}

type indexParser struct {
	ctx        context.Context // it lives as long as the call
	index      *index
	apiVersion string
	seen       int
	known      map[uint64]release
	// parsed is how many entries were not known.
	parsed int
}

// textSeed makes names of texts that nobody outside of this process can foresee.
var textSeed = maphash.MakeSeed()

// nameText names the text of a version.
func nameText(text []byte) uint64 { return maphash.Bytes(textSeed, text) }

// texts are the versions of the index by what they were read from.
func (x *index) texts() map[uint64]release {
	if x == nil {
		return nil
	}
	known := map[uint64]release{}
	for _, releases := range x.charts {
		for _, r := range releases {
			if r.text != 0 {
				known[r.text] = r
			}
		}
	}
	return known
}

// chart begins a chart, which is there once.
func (p *indexParser) chart(name string) error {
	if _, twice := p.index.charts[name]; twice {
		return wrong("index.yaml has the chart %q twice", source.Shown(name))
	}
	if len(p.index.charts) >= maxCharts {
		return tooLarge("index.yaml has more than %d charts", maxCharts)
	}
	p.index.charts[name] = nil
	p.index.size += int64(len(name)) + 64
	return nil
}

// part takes a version of the chart that stands in a text of its own, which parse reads.
func (p *indexParser) part(chart string, text []byte, parse func() (*entry, error)) error {
	name := nameText(text)
	if r, known := p.known[name]; known {
		return p.put(chart, r)
	}
	p.parsed++
	e, err := parse()
	if err != nil {
		return err
	}
	return p.add(chart, e, name)
}

// add takes a version of the chart, unless it is not valid.
func (p *indexParser) add(chart string, e *entry, text uint64) error {
	if e == nil || e.problem(false) != "" {
		return p.count()
	}
	r := release{version: e.Version, digest: sha256Of(e.Digest), created: e.Created, text: text}
	if len(e.URLs) > 0 {
		r.url = e.URLs[0]
	}
	return p.put(chart, r)
}

func (p *indexParser) put(chart string, r release) error {
	p.index.charts[chart] = append(p.index.charts[chart], r)
	p.index.size += int64(len(r.version)+len(r.url)+len(r.digest)) + 112
	return p.count()
}

// count counts a version, valid or not.
func (p *indexParser) count() error {
	if p.seen++; p.seen > maxReleases {
		return tooLarge("index.yaml has more than %d versions of charts", maxReleases)
	}
	if p.seen%256 == 0 && p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return nil
}

// whole reads an index that is written in a way that cannot be taken apart.
func (p *indexParser) whole(data []byte) error {
	var all struct {
		APIVersion string              `json:"apiVersion"`
		Entries    map[string][]*entry `json:"entries"`
	}
	if err := decode(indexFile, data, &all); err != nil {
		return err
	}
	p.apiVersion, p.seen, p.index.charts, p.index.size = all.APIVersion, 0, map[string][]release{}, 0
	for name, entries := range all.Entries {
		if err := p.chart(name); err != nil {
			return err
		}
		for _, e := range entries {
			if err := p.add(name, e, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// sha256Of is the digest that an index gives, without its prefix; empty for what is no SHA-256.
func sha256Of(digest string) string {
	hex := digest
	if len(hex) > 7 && hex[:7] == "sha256:" {
		hex = hex[7:]
	}
	if len(hex) != 64 {
		return ""
	}
	for _, c := range hex {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return hex
}

// find chooses the version of a chart as Flux does: the one that is named exactly; else the highest in the range, of equal
// ones the one created last. Without a range, and with *, there are no pre-releases.
func (x *index) find(chart, want string) (release, error) {
	releases, found := x.charts[chart]
	if !found {
		return release{}, wrong("index.yaml has no chart %q: %s", source.Shown(chart), x.instead(chart))
	}
	for _, r := range releases {
		if want != "" && r.version == want {
			return r, nil
		}
	}
	if want == "" {
		want = "*"
	}
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return release{}, wrong("%q is not a version or a range of versions", source.Shown(want))
	}
	var best release
	var highest *semver.Version
	for _, r := range releases {
		version, err := strict(r.version)
		if err != nil || !constraint.Check(version) {
			continue
		}
		if highest == nil || version.GreaterThan(highest) || version.Equal(highest) && r.created.After(best.created) {
			best, highest = r, version
		}
	}
	if highest == nil {
		return release{}, wrong("index.yaml has no version of the chart %q in the range %q (it has %d versions)", source.Shown(chart), source.Shown(want), len(releases))
	}
	return best, nil
}

// strict reads a version of three numbers, which may have a v before them.
func strict(version string) (*semver.Version, error) {
	if len(version) > 0 && version[0] == 'v' {
		version = version[1:]
	}
	return semver.StrictNewVersion(version)
}
