package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

type rolloutPolicyOptions struct {
	createOptions
	waves                                []string
	maxUnavailable, onFailure, unmatched string
	onNewRevision                        string
	manual                               bool
}

func newCreateRolloutPolicyCommand(a *app) *cobra.Command {
	var o rolloutPolicyOptions
	cmd := &cobra.Command{
		Use:     "rolloutpolicy NAME",
		Aliases: []string{"rp"},
		Short:   "Make a RolloutPolicy: waves in which releases go through the clusters",
		Long: "Make a RolloutPolicy: waves in which releases go through the clusters. A wave is its name, and behind commas what it is:\n\n" +
			"  select=KEY=VALUE    takes clusters with that label; several must all hold; none: every cluster that is left\n" +
			"  limit=N             only the first N, or N%, of them\n" +
			"  max-concurrent=N    so many, or N%, at the same time (default 1)\n" +
			"  max-failures=N      so many, or N%, may fail (default 0)\n" +
			"  min-updated=N       so many, or N%, before the next wave\n" +
			"  soak=DURATION       they have to serve for so long before the next wave\n" +
			"  approval[=NAME]     and somebody has to approve\n\n" +
			"Analyses, webhooks and windows are written as YAML: begin with --export.",
		Example: `  fleetctl create rolloutpolicy careful --wave canary,select=tier=canary,soak=10m,approval=prod-go \
    --wave rest,max-concurrent=25%,max-failures=1 --max-unavailable 5% --on-failure rollback
  fleetctl create rolloutpolicy careful --wave canary,limit=1 --wave rest --export > policy.yaml`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := a.rolloutPolicy(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.create(cmd.Context(), []created{policy}, o.createOptions, false)
		},
	}
	o.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.waves, "wave", nil, "a wave, NAME[,KEY=VALUE...]; may be repeated, in their order")
	flags.StringVar(&o.maxUnavailable, "max-unavailable", "", "clusters, or percent of them, that may be without service because of a rollout (default 10%)")
	flags.StringVar(&o.onFailure, "on-failure", "", "halt (default) or rollback")
	flags.StringVar(&o.unmatched, "unmatched", "", "clusters that no wave takes: last (default), exclude or reject")
	flags.StringVar(&o.onNewRevision, "on-new-revision", "", "a release while another is rolled out: queue (default) or supersede")
	flags.BoolVar(&o.manual, "manual", false, "a rollout begins by 'rollout start' only")
	return cmd
}

func (a *app) rolloutPolicy(cmd *cobra.Command, name string, o rolloutPolicyOptions) (created, error) {
	if err := demand(cmd, "wave"); err != nil {
		return created{}, err
	}
	policy, err := a.newCreated(cmd, resource.RolloutPolicy, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := fleet.RolloutPolicy{
		MaxUnavailable: amount(o.maxUnavailable), OnFailure: fleet.OnFailure{Action: fleet.FailureAction(capital(o.onFailure))},
		Unmatched: fleet.Unmatched(capital(o.unmatched)), OnNewRevision: fleet.OnNewRevision(capital(o.onNewRevision)),
	}
	if o.manual {
		spec.AutoStart = new(bool)
	}
	for _, text := range o.waves {
		wave, err := parseWave(cmd, text)
		if err != nil {
			return created{}, err
		}
		spec.Waves = append(spec.Waves, wave)
	}
	if err := spec.Validate(); err != nil { // before an amount that cannot be read is written as a number
		return created{}, refuse("%s", err)
	}
	policy.Spec = spec
	return policy, nil
}

// parseWave reads NAME[,KEY=VALUE...].
func parseWave(cmd *cobra.Command, text string) (fleet.Wave, error) {
	parts := strings.Split(text, ",")
	w := fleet.Wave{Name: parts[0]}
	for _, part := range parts[1:] {
		key, value, given := strings.Cut(part, "=")
		if !given && key != "approval" || given && value == "" {
			return w, usagef(cmd, "--wave %q: %q has no value", text, part)
		}
		switch key {
		case "select":
			label, wanted, full := strings.Cut(value, "=")
			if !full {
				return w, usagef(cmd, "--wave %q: select=%s is not select=KEY=VALUE", text, value)
			}
			if w.Select == nil {
				w.Select = &fleet.Selector{MatchLabels: map[string]string{}}
			}
			w.Select.MatchLabels[label] = wanted
		case "limit":
			w.Limit = amount(value)
		case "max-concurrent":
			w.MaxConcurrent = amount(value)
		case "max-failures":
			w.MaxFailures = amount(value)
		case "min-updated":
			w.MinUpdated = amount(value)
		case "soak":
			d := &fleet.Duration{}
			_ = d.UnmarshalJSON([]byte(`"` + value + `"`)) // what is wrong with it is told by the validation
			w.After = append(w.After, fleet.Gate{Soak: &fleet.SoakGate{Duration: d}})
		case "approval":
			w.After = append(w.After, fleet.Gate{Approval: &fleet.ApprovalGate{Name: value}})
		default:
			return w, usagef(cmd, "--wave %q: %q is not select, limit, max-concurrent, max-failures, min-updated, soak or approval", text, key)
		}
	}
	return w, nil
}

// amount is a number of clusters or a percentage; nil: none is given. What is wrong with it is told by the validation.
func amount(text string) *fleet.Amount {
	if text == "" {
		return nil
	}
	a := &fleet.Amount{}
	_ = a.UnmarshalJSON([]byte(`"` + text + `"`))
	return a
}

// capital is a word as a spec has it: "Rollback".
func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
}
