// Package rest and its neighbours stand in for the cluster's client, which Helm's engine links for `lookup` and
// never calls without a cluster: it doubles the time that the rest takes to compile.
package rest

// Config is of no cluster.
type Config struct{}
