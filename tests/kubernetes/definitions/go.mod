// The definitions of ServiceMonitor, PrometheusRule, Gateway and HTTPRoute, which ../fetch takes out of these modules.
// Nothing is compiled: `go mod download` fetches what is required here and go.sum has the checksums.
module definitions

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
