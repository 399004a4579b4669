package fleet_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

var update = flag.Bool("update", false, "write ROLLOUTPOLICY.md anew")

// policyField is a field of a RolloutPolicy's spec, or of a gate, and what it means. Its default is the code's.
type policyField struct{ path, meaning string }

var policyFields = []policyField{
	{"waves[].name", "required; lower case letters, digits and `-`"},
	{"waves[].select", "takes clusters by their labels; absent: every cluster that no wave before has taken"},
	{"waves[].limit", "takes only the first so many of those, by `order`; the others are for the waves after it"},
	{"waves[].order.by", "`Name`, `Label` (whole numbers, lowest first; clusters without the label last) or `Shuffle` (the same for the same release)"},
	{"waves[].order.key", "the label, for `by: Label`"},
	{"waves[].required", "stops the rollout when the wave has no cluster; otherwise it is passed over"},
	{"waves[].maxConcurrent", "clusters that are updated at the same time"},
	{"waves[].maxFailures", "clusters that may fail before the rollout stops"},
	{"waves[].minUpdated", "clusters that have to be decided, succeeded or failed within `maxFailures`, before the wave is left; `100%` of a wave with a `limit`. Clusters that are away are not waited for beyond it"},
	{"waves[].coverageTimeout", "how long `minUpdated` is waited for before the rollout is paused"},
	{"waves[].before[]", "gates that have to pass before the first cluster of the wave, one after the other"},
	{"waves[].after[]", "gates that have to pass before the next wave, one after the other"},
	{"maxUnavailable", "over the whole rollout, the clusters that do not serve because of it"},
	{"cluster.progressDeadline", "how long a cluster may take; the clock stands still while it is not connected, is held, waits for a dependency or has a prune held"},
	{"cluster.minReady", "how long a cluster has to be ready at the release before it counts"},
	{"cluster.retries", "further tries after an error that no retry of the spoke's helps; at most 100"},
	{"cluster.regressionWindow", "how long a cluster that has succeeded may be unavailable before it has failed after all"},
	{"cluster.unreachableTimeout", "how long a cluster may be out of reach after it was updated"},
	{"cluster.onLost", "what becomes of it then: `Fail` or `Defer`"},
	{"cluster.preexistingUnhealthy", "what becomes of a cluster that is not well when its turn comes: `Defer` (it is left alone until it is), `Update` or `Block`"},
	{"unmatched", "clusters that no wave takes: `Last` (a wave of their own), `Exclude`, or `Reject` (no rollout begins)"},
	{"onNewRevision", "a new release while another is rolled out: `Queue` (the newest waits), or `Supersede`"},
	{"onFailure.action", "`Halt`, or `Rollback`: clusters go back to what they had"},
	{"onFailure.scope", "which go back: `Failed` ones, the `Wave` under way and later ones, or all that were `Updated`"},
	{"onFailure.maxConcurrent", "clusters that go back at the same time, and those of a rollout backward"},
	{"onFailure.allowUninstall", "lets a rollback remove the app from clusters that did not have it before"},
	{"onInconclusive", "when an analysis cannot tell: `Pause` or `Halt`"},
	{"windows[].cron", "when a window opens, in five fields: minute, hour, day of the month, month, day of the week. Clusters are updated only in windows, where there are any; what was begun goes on, as do gates and rollbacks"},
	{"windows[].timeZone", "a name of the IANA database; UTC without"},
	{"windows[].duration", "required; for how long it is open"},
	{"autoStart", "begins a rollout with each new release; otherwise it is queued until `fleetctl rollout start`"},
	{"catchUp.maxConcurrent", "the app's clusters that get something outside of rollouts at the same time: what was rolled out while they were away, or changes for them alone. What runs changes in a window only, where there are any; what is new does not wait for one"},
}

var gateFields = []policyField{
	{"soak.name", "`soak` without"},
	{"soak.duration", "required; for so long all clusters that have succeeded have to be available; the clock stands still while one is not"},
	{"analysis.name", "`analysis` without"},
	{"analysis.provider.type", "`prometheus`: anything that has Prometheus' HTTP API"},
	{"analysis.provider.address", "required"},
	{"analysis.provider.secretRef", "namespace and name of a Secret with `username` and `password`, or `bearerToken`, and `ca.crt`; at the hub, or in the cluster that asks"},
	{"analysis.provider.headers", "sent with each query"},
	{"analysis.scope", "`Hub`: one query; or `Cluster`: each cluster of the wave asks its own, and one whose answers are bad has failed"},
	{"analysis.query", "required; a template: `{{ .Clusters }}` are the clusters of this wave and those before that have succeeded by then, joined by `|` (none in `before` of the first wave; with `scope: Cluster` the one that asks), `{{ .Cluster }}` the one that asks, `{{ .Interval }}`, `{{ .App }}`, `{{ .Namespace }}`"},
	{"analysis.interval", "between measurements"},
	{"analysis.count", "of measurements that have to be made"},
	{"analysis.min", "a good value is no lower; `min` or `max` is required"},
	{"analysis.max", "a good value is no higher"},
	{"analysis.failureLimit", "how many values may be bad"},
	{"analysis.errorLimit", "how many queries in a row may fail"},
	{"analysis.inconclusiveLimit", "how many measurements may have no data"},
	{"analysis.onNoData", "what no data, or NaN, counts as: `Inconclusive`, `Fail` or `Pass`"},
	{"analysis.samplesQuery", "a query whose result below `minSamples` says that there is no data"},
	{"analysis.minSamples", "see `samplesQuery`"},
	{"approval.name", "`approval` without"},
	{"approval.approvers[]", "`user:NAME` and `group:NAME`; none: anyone who may decide on rollouts"},
	{"approval.minApprovers", "how many have to approve; one who rejects is enough to halt, and with `onFailure.action: Rollback` to take clusters back"},
	{"approval.allowSelf", "lets the one who started the rollout count; until there are identities, nobody else can approve one that was started by hand"},
	{"approval.timeout", "after which `onTimeout` happens; absent: never"},
	{"approval.onTimeout", "`Pause` or `Halt`"},
	{"webhook.name", "`webhook` without"},
	{"webhook.url", "required; gets a POST: 200 passes, 202 is asked again, 4xx fails but for 408, 425 and 429, which are tried again as anything else is"},
	{"webhook.scope", "`Hub`: one request; or `Cluster`: each cluster of the wave makes its own"},
	{"webhook.timeout", "of one request; at most `1m`"},
	{"webhook.poll", "the pause before it is made again"},
	{"webhook.retries", "how many requests in a row may fail"},
	{"webhook.hmacSecretRef", "namespace and name of a Secret whose key `token` signs the body, in the header `X-Signature`"},
	{"webhook.metadata", "sent in the body"},
}

func TestTheWrittenTableOfAPolicysFieldsIsTheOneOfTheCode(t *testing.T) {
	t.Parallel()
	const name = "ROLLOUTPOLICY.md"
	want := writtenPolicy(t)
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s is not what the code says: go test ./pkg/fleet -run %s -update (error %v)", name, t.Name(), err)
	}
}

func TestEveryFieldOfAPolicyStandsInItsTableAndInTheExample(t *testing.T) {
	t.Parallel()
	example := map[string]any{}
	if err := yaml.Unmarshal([]byte(examplePolicy(t)), &example); err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	leaves(example["spec"], "", func(path string, _ any) { given[path] = true })
	for _, table := range []struct {
		of     reflect.Type
		fields []policyField
		at     []string
	}{
		{reflect.TypeFor[fleet.RolloutPolicy](), policyFields, []string{""}},
		{reflect.TypeFor[fleet.Gate](), gateFields, []string{"waves[].before[].", "waves[].after[]."}},
	} {
		var listed []string
		for _, f := range table.fields {
			listed = append(listed, f.path)
			shown := slices.ContainsFunc(table.at, func(at string) bool {
				for path := range given {
					if path == at+f.path || strings.HasPrefix(path, at+f.path+".") {
						return true
					}
				}
				return false
			})
			if !shown {
				t.Errorf("the example has no %s", f.path)
			}
		}
		has := fieldPaths(table.of, "")
		slices.Sort(listed)
		slices.Sort(has)
		if !slices.Equal(has, listed) {
			t.Errorf("%s has\n%s\nand the table\n%s", table.of.Name(), strings.Join(has, "\n"), strings.Join(listed, "\n"))
		}
	}
}

func examplePolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/rolloutpolicy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// writtenPolicy is the table for people.
func writtenPolicy(t *testing.T) string {
	var out strings.Builder
	out.WriteString("# The spec of a RolloutPolicy\n\nWritten from the code by `go test ./pkg/fleet -run TheWrittenTableOfAPolicys -update`.\n\n" +
		"A number of clusters is given as one (`3`) or as a percentage (`\"25%\"`), which is rounded down, and up for `minUpdated`; of what\n" +
		"lets clusters through there is always at least one. A length of time is given as `90s`, `10m` or `1h30m`. A rollout goes by the\n" +
		"policy as it was when it began: a change of the policy is for the next one. A policy has at most 64 waves, and a wave at most 64\n" +
		"gates, of which 16 are analyses.\n\n" +
		"A rollout is one **backward** where a person asks for it by `fleetctl rollout rollback`, to any release that was good, or where a\n" +
		"commit brings back the release that succeeded last while clusters have one that has failed or was cancelled. It has one wave, of all\n" +
		"clusters that the policy is about, `onFailure.maxConcurrent` at a time within `maxUnavailable`, and neither gates nor windows; it\n" +
		"begins though the fleet is frozen, and passes over clusters that are frozen by name or held.\n")
	one := fleet.RolloutPolicy{Waves: []fleet.Wave{{Before: []fleet.Gate{
		{Soak: &fleet.SoakGate{}}, {Analysis: &fleet.AnalysisGate{}}, {Approval: &fleet.ApprovalGate{}}, {Webhook: &fleet.WebhookGate{}},
	}}}}
	for _, table := range []struct {
		title, at string
		fields    []policyField
	}{{"The policy", "", policyFields}, {"A gate, in `before` or `after`", "waves[].before[].", gateFields}} {
		fmt.Fprintf(&out, "\n## %s\n\n| field | default | meaning |\n|---|---|---|\n", table.title)
		defaults := defaultsOf(t, one)
		for _, f := range table.fields {
			value := defaults[table.at+f.path]
			if value != "" {
				value = "`" + value + "`"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.path, value, strings.ReplaceAll(f.meaning, "|", `\|`))
		}
	}
	out.WriteString("\n## All of it\n\n```yaml\n" + examplePolicy(t) + "```\n")
	return out.String()
}

// defaultsOf are the values that a policy has where it says nothing, by path.
func defaultsOf(t *testing.T, p fleet.RolloutPolicy) map[string]string {
	t.Helper()
	data, err := json.Marshal(p.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	leaves(value, "", func(path string, value any) {
		text := fmt.Sprint(value)
		if value == nil || text == "" {
			return
		}
		for _, zero := range []string{"m0s", "h0m"} { // as one writes it
			if strings.HasSuffix(text, zero) {
				text = strings.TrimSuffix(text, zero[1:])
			}
		}
		defaults[path] = text
	})
	for _, path := range []string{"cluster.retries", "waves[].before[].analysis.failureLimit", "waves[].before[].analysis.inconclusiveLimit"} {
		defaults[path] = "0"
	}
	for _, path := range []string{"waves[].required", "onFailure.allowUninstall", "waves[].before[].approval.allowSelf"} {
		defaults[path] = "false"
	}
	return defaults
}

// leaves calls tell for each value that holds no others.
func leaves(value any, at string, tell func(path string, value any)) {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			leaves(below, strings.TrimPrefix(at+"."+key, "."), tell)
		}
	case []any:
		for _, below := range v {
			leaves(below, at+"[]", tell)
		}
	default:
		tell(at, value)
	}
}

// fieldPaths are those of all fields of a type: of what is a kind of value by itself, such as a selector, there is one.
func fieldPaths(of reflect.Type, at string) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		if of.Kind() == reflect.Slice {
			at += "[]"
		}
		of = of.Elem()
	}
	encoder := reflect.TypeFor[json.Marshaler]()
	values := []reflect.Type{reflect.TypeFor[fleet.Selector](), reflect.TypeFor[fleet.NamespacedRef]()}
	gate := of == reflect.TypeFor[fleet.Gate]() && at != ""
	if of.Kind() != reflect.Struct || of.Implements(encoder) || slices.Contains(values, of) || gate {
		return []string{at}
	}
	var all []string
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		all = append(all, fieldPaths(of.Field(i).Type, strings.TrimPrefix(at+"."+name, "."))...)
	}
	return all
}
