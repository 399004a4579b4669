// Package reference notices that the ConfigMaps and Secrets which Apps are made of change in the cluster.
package reference
