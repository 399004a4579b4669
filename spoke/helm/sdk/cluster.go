package sdk

import (
	"helm.sh/helm/v4/pkg/kube"
)

// cluster is Helm's client, but that it waits as Flux has it: by kstatus and the expressions of the spec.
type cluster struct {
	*kube.Client
	action *action
	way    *getter
}

var (
	_ kube.Interface            = (*cluster)(nil)
	_ kube.InterfaceWaitOptions = (*cluster)(nil)
)

// GetWaiter implements kube.Interface.
func (c *cluster) GetWaiter(strategy kube.WaitStrategy) (kube.Waiter, error) {
	return c.GetWaiterWithOptions(strategy)
}

// GetWaiterWithOptions implements kube.InterfaceWaitOptions.
func (c *cluster) GetWaiterWithOptions(strategy kube.WaitStrategy, options ...kube.WaitOption) (kube.Waiter, error) {
	if strategy == kube.LegacyStrategy {
		return c.Client.GetWaiterWithOptions(strategy, options...)
	}
	client, err := c.Factory.DynamicClient()
	if err != nil {
		return nil, err
	}
	return &waiter{action: c.action, client: client, hooksOnly: strategy == kube.HookOnlyStrategy}, nil
}
