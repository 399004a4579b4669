package sdk

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"helm.sh/helm/v4/pkg/strvals"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// reference is an entry of spec.valuesFrom.
type reference struct {
	flux.HelmValuesReference
	field     string
	namespace string
	content   []byte
}

// source is an object that values are from. Several references to one are about the same version of it.
type source struct {
	data map[string][]byte
	is   bool // it is there
}

func (r reference) secret() bool { return r.Kind == "Secret" }

func (r reference) valuesKey() string { return cmp.Or(r.ValuesKey, "values.yaml") }

func (r reference) key() fleet.SecretKey {
	return fleet.SecretKey{Namespace: r.namespace, Name: r.Name, Key: r.valuesKey()}
}

// errorf names the reference.
func (r reference) errorf(text string, args ...any) error {
	return fmt.Errorf("%w: %s: %s/%s/%s key %s: %w", fleet.ErrInvalid, r.field, r.Kind, r.namespace, r.Name, r.valuesKey(), fmt.Errorf(text, args...))
}

// resolve reads what a reference names; found is false where it is optional and not there.
func (a *action) resolve(r *reference, fetched map[string]*source) (found bool, err error) {
	if r.Kind != "ConfigMap" && r.Kind != "Secret" {
		return false, fmt.Errorf("%w: %s.kind is %q; it can be ConfigMap or Secret", fleet.ErrInvalid, r.field, r.Kind)
	}
	name := r.Kind + "/" + r.Name
	from := fetched[name]
	if from == nil {
		if from, err = a.fetch(*r); err != nil {
			return false, fmt.Errorf("%s: read %s/%s/%s: %w", r.field, r.Kind, r.namespace, r.Name, err)
		}
		fetched[name] = from
	}
	content, has := from.data[r.valuesKey()]
	switch {
	case has:
		r.content = content
		return true, nil
	case r.Optional:
		return false, nil
	case !from.is:
		return false, r.errorf("the %s does not exist: make it, or set optional: true", r.Kind)
	}
	return false, r.errorf("the %s has no such key: add it, change valuesKey, or set optional: true", r.Kind)
}

func (a *action) fetch(r reference) (*source, error) {
	from := &source{is: true, data: map[string][]byte{}}
	var err error
	if r.secret() {
		secret, getErr := a.own.CoreV1().Secrets(r.namespace).Get(a.ctx, r.Name, metav1.GetOptions{})
		if err = getErr; err == nil {
			from.data = secret.Data
		}
	} else {
		configMap, getErr := a.own.CoreV1().ConfigMaps(r.namespace).Get(a.ctx, r.Name, metav1.GetOptions{})
		if err = getErr; err == nil {
			for key, value := range configMap.Data {
				from.data[key] = []byte(value)
			}
		}
	}
	if apierrors.IsNotFound(err) {
		return &source{}, nil
	}
	return from, err
}

// set puts the content at the targetPath of values, as helm's --set does, or --set-string where it stands in quotes; a
// literal one as it is.
func (r reference) set(into map[string]any) error {
	content := string(r.content)
	var err error
	switch {
	case r.Literal:
		err = strvals.ParseIntoString(r.TargetPath+"="+escaper.Replace(content), into)
	case quoted(content, "'"), quoted(content, `"`):
		err = strvals.ParseIntoString(r.TargetPath+"="+strings.Trim(content, `'"`), into)
	default:
		err = strvals.ParseInto(r.TargetPath+"="+content, into)
	}
	if err == nil {
		return nil
	}
	if r.secret() {
		err = errors.New("a comma, a bracket and the like mean what they mean to helm's --set, unless literal: true is set") // the parser shows the value
	}
	return r.errorf("it cannot be put at targetPath %s: %w", r.TargetPath, err)
}

// escaper has the parser of --set take a value as it is.
var escaper = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

func quoted(text, mark string) bool {
	return strings.HasPrefix(text, mark) && strings.HasSuffix(text, mark)
}

var line = regexp.MustCompile(`\bline (\d+)`)

// lineOf is all that is told of an error of a parser of YAML where its text may show a value.
func lineOf(err error) string {
	if found := line.FindStringSubmatch(err.Error()); found != nil {
		return " (line " + found[1] + ")"
	}
	return ""
}
