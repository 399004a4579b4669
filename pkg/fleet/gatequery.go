package fleet

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QueryValues are what the query of an analysis may name.
type QueryValues struct {
	Clusters []string
	Cluster  string
	Interval time.Duration
	App      Key
}

// queryField is `{{ .Name }}`, and whatever else stands between such braces.
var queryField = regexp.MustCompile(`\{\{(.*?)\}\}`)

// ExpandQuery puts values into a query. It is no template of a language: one that loops would keep the hub busy.
func ExpandQuery(query string, values QueryValues) (string, error) {
	fields := map[string]string{
		".Clusters": strings.Join(values.Clusters, "|"), ".Cluster": values.Cluster, ".Interval": promDuration(values.Interval),
		".App": values.App.Name, ".Namespace": values.App.Namespace,
	}
	var unknown string
	expanded := queryField.ReplaceAllStringFunc(query, func(match string) string {
		name := strings.TrimSpace(queryField.FindStringSubmatch(match)[1])
		value, known := fields[name]
		if !known && unknown == "" {
			unknown = match
		}
		return value
	})
	if unknown != "" {
		return "", fmt.Errorf("%w: %s is none of {{ %s }}", ErrInvalid, unknown, strings.Join(slices.Sorted(maps.Keys(fields)), " }}, {{ "))
	}
	return expanded, nil
}

// promDuration is a duration as Prometheus reads it.
func promDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
