package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// meaning is the upstream that a declared Source means, or why it means none.
type meaning struct {
	upstream   source.Upstream
	id, remote fleet.Digest
	err        error
}

// bindError is what stands in the way of asking an upstream, and is the declarations' fault. waiting: it is only not there
// yet.
type bindError struct {
	reason  string
	failure source.Kind
	waiting bool
	err     error
}

func (e *bindError) Error() string { return e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }

// bind records for each declared Source that changed which upstream it means. It reports whether anything was bound.
func (l *Loop) bind(ctx context.Context, v *view) (changed bool, err error) {
	var errs []error
	for _, s := range v.sources {
		bound, err := l.bindSource(ctx, v, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.object, err))
		}
		changed = changed || bound
	}
	return changed, errors.Join(errs...)
}

func (l *Loop) bindSource(ctx context.Context, v *view, s *declaredSource) (changed bool, err error) {
	if s.pushed || s.spec.static && s.state.Upstream.IsZero() {
		return false, nil
	}
	m := s.object.Metadata
	meant := fleet.Meant{Kind: s.object.Kind, Namespace: m.Namespace, Name: m.Name, Generation: m.Generation}
	if !s.spec.static { // else it meant something before
		of := l.meaningOf(ctx, v, s)
		var problem *bindError
		switch {
		case of.err == nil:
			meant.Upstream, meant.Remote = of.id, of.remote
		case errors.As(of.err, &problem):
			meant.Reason, meant.Message, meant.Failure, meant.Waiting = problem.reason, problem.Error(), string(problem.failure), problem.waiting
		default:
			return false, of.err
		}
	}
	same := s.bound && s.state.Upstream == meant.Upstream && s.state.ObservedGeneration == m.Generation
	if same && (meant.Reason == "" || s.state.Message == meant.Message && s.state.Reason == meant.Reason) {
		return false, nil
	}
	if err := l.Store.BindSource(ctx, meant); err != nil {
		return false, err
	}
	if meant.Reason != "" && !meant.Waiting {
		l.Log.Warn(notFetchedWords, "source", s.name(), "reason", meant.Reason, "err", meant.Message)
	}
	return true, nil
}

// meaningOf is what a declared Source means, worked out once a view. Its error is a bindError where the declarations are
// wrong.
func (l *Loop) meaningOf(ctx context.Context, v *view, s *declaredSource) *meaning {
	if s.meaning == nil {
		s.meaning = &meaning{err: &bindError{reason: reasonInvalid, failure: source.KindInvalid, err: errItself}}
		of := l.upstreamOf(ctx, v, s)
		s.meaning = &of
	}
	return s.meaning
}

// upstreamOf works out the upstream that a declared Source means.
func (l *Loop) upstreamOf(ctx context.Context, v *view, s *declaredSource) (m meaning) {
	u := &m.upstream
	*u = source.Upstream{Kind: s.object.Kind, URL: s.spec.url, Spec: s.spec.plain, Timeout: s.spec.timeout}
	if m.err = l.addInputs(ctx, v, s, u); m.err != nil {
		return m
	}
	if m.err = l.addSecrets(ctx, v, s, u); m.err != nil {
		return m
	}
	m.id, m.remote = l.identify(*u, v.fixedInputs(s)), l.remote(s.spec, *u)
	u.ID, u.Remote = m.id.String(), m.remote.String()
	return m
}

// addInputs adds the Sources that one is made of. What was fetched of them is what their upstream is at, the same for all
// who share it, but for one that is suspended.
func (l *Loop) addInputs(ctx context.Context, v *view, s *declaredSource, u *source.Upstream) error {
	for _, ref := range s.spec.inputs {
		input, err := l.inputOf(ctx, v, s, ref)
		if err != nil {
			return err
		}
		u.Inputs = append(u.Inputs, input)
	}
	if s.object.Kind != resource.HelmChart.Name {
		return nil
	}
	from := u.Inputs[0].Upstream
	u.URL, u.Timeout = from.URL, from.Timeout
	if from.Kind != resource.HelmRepository.Name {
		u.Repositories = l.repositoriesOf(ctx, v, s)
	}
	return nil
}

func (l *Loop) inputOf(ctx context.Context, v *view, s *declaredSource, ref inputRef) (source.Input, error) {
	key := fleet.Key{Home: fleet.HubHome, Kind: ref.kind, Namespace: s.object.Metadata.Namespace, Name: ref.name}
	refuse := func(missing missingInput, err error) (source.Input, error) {
		problem := missingInputs[s.object.Kind][missing]
		problem.failure, problem.err = source.KindInput, fmt.Errorf("spec.%s: %s: %w", ref.field, key.Words(), err)
		return source.Input{}, &problem
	}
	in := v.byKey[key]
	if in == nil {
		return refuse(notDeclared, fleet.ErrNotFound)
	}
	of := l.meaningOf(ctx, v, in)
	upstream := of.upstream
	var trouble *bindError
	switch {
	case errors.As(of.err, &trouble) && (errors.Is(of.err, errItself) || !in.keeps()):
		return refuse(notFetchable, of.err)
	case trouble != nil: // it is not asked: what it could be asked with is nobody's business
		upstream = source.Upstream{Kind: upstream.Kind, URL: upstream.URL, Spec: upstream.Spec, Timeout: upstream.Timeout}
	case of.err != nil:
		return source.Input{}, of.err
	}
	at := in.at()
	switch {
	case in.spec.static || !at.TreeBlob.IsZero():
	case in.state.Reason != "":
		return refuse(notFetchable, fmt.Errorf("nothing was fetched of it: %s", in.state.Message))
	default:
		return refuse(notFetched, errNothingYet)
	}
	return source.Input{Field: ref.field, Name: ref.name, Upstream: upstream, Revision: at.Revision, Tree: at.Tree, TreeBlob: at.TreeBlob}, nil
}

var errItself = fmt.Errorf("%w: it is made of itself", fleet.ErrInvalid)

var errNothingYet = errors.New("nothing was fetched of it yet")

// missingInput is what is wrong with an input.
type missingInput int

const (
	notDeclared missingInput = iota
	notFetchable
	notFetched
)

// missingInputs are Flux's reasons for what is wrong with inputs.
var missingInputs = map[string]map[missingInput]bindError{
	resource.GitRepository.Name: {
		notDeclared: {reason: "NotFound"}, notFetchable: {reason: "NoArtifact"}, notFetched: {reason: "NoArtifact", waiting: true},
	},
	resource.HelmChart.Name: {
		notDeclared: {reason: "SourceUnavailable"}, notFetchable: {reason: "NoSourceArtifact"}, notFetched: {reason: "NoSourceArtifact", waiting: true},
	},
}

// repositoriesOf are the HelmRepositories of a Source's namespace that a chart's dependencies may be fetched from. One
// whose credential is missing is left out: that is its own to tell.
func (l *Loop) repositoriesOf(ctx context.Context, v *view, s *declaredSource) []source.Upstream {
	var repositories []source.Upstream
	for _, other := range v.sources {
		if other.object.Kind == resource.HelmRepository.Name && other.object.Metadata.Namespace == s.object.Metadata.Namespace {
			if of := l.meaningOf(ctx, v, other); of.err == nil {
				repositories = append(repositories, of.upstream)
			}
		}
	}
	return repositories
}

// identify names an upstream: equal for equal specs, credentials and inputs.
func (l *Loop) identify(u source.Upstream, fixed []fleet.Digest) fleet.Digest {
	var others []string
	for _, input := range u.Inputs {
		others = append(others, input.Field, input.Name, input.ID)
	}
	for _, repository := range u.Repositories {
		others = append(others, repository.ID)
	}
	return l.name("upstream", u.Kind, u.Spec, u.Secrets, u.Identity, u.Within, others, fixed)
}

// remote names whom the conversation about an upstream is with. Secrets that what is fetched is verified by are no part of
// that; a chart is had from where the Source that it is made of is.
func (l *Loop) remote(spec sourceSpec, u source.Upstream) fleet.Digest {
	secrets := maps.Clone(u.Secrets)
	maps.DeleteFunc(secrets, func(field string, _ map[string][]byte) bool { return strings.HasPrefix(field, "verify.") })
	from := ""
	if u.Kind == resource.HelmChart.Name {
		from = u.Inputs[0].Remote
	}
	return l.name("remote", u.Kind, u.URL, spec.insecure, spec.provider, secrets, u.Identity, u.Within, from)
}

// name is the name of parts that may hold a credential, without giving it away.
func (l *Loop) name(parts ...any) fleet.Digest {
	encoded, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("encode an upstream: %v", err)) // specs, strings and bytes always encode
	}
	return l.Name(encoded)
}
