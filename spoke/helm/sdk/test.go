package sdk

import (
	helm "helm.sh/helm/v4/pkg/action"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// test runs the tests of the newest version that the filters choose.
func (a *action) test() error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	newest, err := last(config, a.job.Release)
	if err != nil {
		return err
	}
	test := helm.NewReleaseTesting(config)
	test.Namespace = a.job.Namespace
	test.Timeout = a.job.TimeoutOf(job.Test)
	for _, filter := range a.testOptions().Filters {
		name := helm.IncludeNameFilter
		if filter.Exclude {
			name = helm.ExcludeNameFilter
		}
		test.Filters[name] = append(test.Filters[name], filter.Name)
	}
	a.tested = newest.Version
	_, shutdown, err := test.Run(a.job.Release)
	if after := shutdown(); err == nil {
		err = after
	}
	return err
}
