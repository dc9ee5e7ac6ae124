"""Talos' machine config, 1.9 to 1.13, as typed models that know no other key.

https://www.talos.dev/latest/reference/configuration/ and pkg/machinery/config/types of Talos. Keys
are as in the YAML. What Kubernetes or a program of its own judges is any mapping here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSIONS = ("1.9", "1.10", "1.11", "1.12", "1.13")
# What a later version brought; where a list is on the way, its entries are meant.
INTRODUCED = {
    "machine.install.grubUseUKICmdline": "1.12",
    "machine.network.interfaces.bridgePort": "1.10",
}
# Documents beside the main one, and since when they are known.
KINDS = {
    "SideroLinkConfig": "1.9", "EventSinkConfig": "1.9", "KmsgLogConfig": "1.9",
    "KubespanEndpointsConfig": "1.9", "NetworkDefaultActionConfig": "1.9",
    "NetworkRuleConfig": "1.9", "WatchdogTimerConfig": "1.9", "ExtensionServiceConfig": "1.9",
    "TrustedRootsConfig": "1.9", "VolumeConfig": "1.9", "UserVolumeConfig": "1.10",
    "EthernetConfig": "1.10", "PCIDriverRebindConfig": "1.10", "RawVolumeConfig": "1.11",
    "ExistingVolumeConfig": "1.11", "SwapVolumeConfig": "1.11", "ZswapConfig": "1.11",
    "OOMConfig": "1.12", "HostnameConfig": "1.12", "ResolverConfig": "1.12",
    "StaticHostConfig": "1.12", "TimeSyncConfig": "1.12", "LinkConfig": "1.12",
    "LinkAliasConfig": "1.12", "BondConfig": "1.12", "VLANConfig": "1.12", "BridgeConfig": "1.12",
    "DummyLinkConfig": "1.12", "WireguardConfig": "1.12", "Layer2VIPConfig": "1.12",
    "HCloudVIPConfig": "1.12", "DHCPv4Config": "1.12", "DHCPv6Config": "1.12",
    "RegistryMirrorConfig": "1.12", "RegistryAuthConfig": "1.12", "RegistryTLSConfig": "1.12",
    "EnvironmentConfig": "1.13", "KubeSpanConfig": "1.13", "ImageVerificationConfig": "1.13",
    "ProbeConfig": "1.13", "RoutingRuleConfig": "1.13",
}  # fmt: skip
# Of these there is one in a config; the others have names.
SINGLE = frozenset({
    "SideroLinkConfig", "EventSinkConfig", "NetworkDefaultActionConfig", "WatchdogTimerConfig",
    "KubespanEndpointsConfig", "PCIDriverRebindConfig", "ZswapConfig", "OOMConfig",
    "HostnameConfig", "ResolverConfig", "TimeSyncConfig", "EnvironmentConfig", "KubeSpanConfig",
    "ImageVerificationConfig",
})  # fmt: skip

Mapping = dict[str, Any]
# Go's reader takes a number for a text.
Text = Annotated[str | int | float | bool, Field()]
Texts = dict[str, Text]


class _Model(BaseModel):
    # A key without a value is one that is not there.
    model_config = ConfigDict(extra="forbid", strict=True)


class Pair(_Model):
    crt: str | None = None
    key: str | None = None


class Selector(_Model):
    busPath: str | None = None
    hardwareAddr: str | None = None
    permanentAddr: str | None = None
    pciID: str | None = None
    driver: str | None = None
    physical: bool | None = None


class Route(_Model):
    network: str | None = None
    gateway: str | None = None
    source: str | None = None
    metric: int | None = None
    mtu: int | None = None


class DhcpOptions(_Model):
    routeMetric: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None
    duidv6: str | None = None


class Vip(_Model):
    ip: str | None = None
    equinixMetal: Mapping | None = None
    hcloud: Mapping | None = None


class Vlan(_Model):
    vlanId: int = Field(ge=1, le=4094)
    addresses: list[str] | None = None
    cidr: str | None = None
    routes: list[Route] | None = None
    dhcp: bool | None = None
    mtu: int | None = None
    vip: Vip | None = None
    dhcpOptions: DhcpOptions | None = None


BondMode = Literal[
    "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
    "balance-alb",
]  # fmt: skip


class Bond(_Model):
    mode: BondMode | None = None
    interfaces: list[str] | None = None
    deviceSelectors: list[Selector] | None = None
    arpIPTarget: list[str] | None = None
    xmitHashPolicy: str | None = None
    lacpRate: str | None = None
    adActorSystem: str | None = None
    arpValidate: str | None = None
    arpAllTargets: str | None = None
    primary: str | None = None
    primaryReselect: str | None = None
    failOverMac: str | None = None
    adSelect: str | None = None
    miimon: int | None = None
    updelay: int | None = None
    downdelay: int | None = None
    arpInterval: int | None = None
    resendIgmp: int | None = None
    minLinks: int | None = None
    lpInterval: int | None = None
    packetsPerSlave: int | None = None
    numPeerNotif: int | None = None
    tlbDynamicLb: int | None = None
    allSlavesActive: int | None = None
    useCarrier: bool | None = None
    adActorSysPrio: int | None = None
    adUserPortKey: int | None = None
    peerNotifyDelay: int | None = None


class Device(_Model):
    interface: str | None = None
    deviceSelector: Selector | None = None
    addresses: list[str] | None = None
    cidr: str | None = None
    routes: list[Route] | None = None
    bond: Bond | None = None
    bridge: Mapping | None = None
    bridgePort: Mapping | None = None
    vlans: list[Vlan] | None = None
    mtu: int | None = None
    dhcp: bool | None = None
    ignore: bool | None = None
    dummy: bool | None = None
    dhcpOptions: DhcpOptions | None = None
    wireguard: Mapping | None = None
    vip: Vip | None = None


class ExtraHost(_Model):
    ip: str
    aliases: list[str]


class Network(_Model):
    hostname: str | None = None
    interfaces: list[Device] | None = None
    nameservers: list[str] | None = None
    searchDomains: list[str] | None = None
    extraHostEntries: list[ExtraHost] | None = None
    kubespan: Mapping | None = None
    disableSearchDomain: bool | None = None


class DiskSelector(_Model):
    size: Text | None = None
    name: str | None = None
    model: str | None = None
    serial: str | None = None
    modalias: str | None = None
    uuid: str | None = None
    wwid: str | None = None
    type: Literal["ssd", "hdd", "nvme", "sd"] | None = None
    busPath: str | None = None


class Install(_Model):
    disk: str | None = None
    diskSelector: DiskSelector | None = None
    extraKernelArgs: list[str] | None = None
    image: str | None = None
    extensions: list[Mapping] | None = None
    bootloader: bool | None = None
    wipe: bool | None = None
    legacyBIOSSupport: bool | None = None
    grubUseUKICmdline: bool | None = None


class File(_Model):
    content: str
    permissions: int | str
    path: str
    op: Literal["create", "append", "overwrite"]


class Time(_Model):
    disabled: bool | None = None
    servers: list[str] | None = None
    bootTimeout: str | None = None


class Mirror(_Model):
    endpoints: list[str] | None = None
    overridePath: bool | None = None
    skipFallback: bool | None = None


class RegistryTls(_Model):
    clientIdentity: Pair | None = None
    ca: str | None = None
    insecureSkipVerify: bool | None = None


class RegistryAuth(_Model):
    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identityToken: str | None = None


class Registry(_Model):
    tls: RegistryTls | None = None
    auth: RegistryAuth | None = None


class Registries(_Model):
    mirrors: dict[str, Mirror] | None = None
    config: dict[str, Registry] | None = None


class KubeletNodeIp(_Model):
    validSubnets: list[str] | None = None


class Kubelet(_Model):
    image: str | None = None
    clusterDNS: list[str] | None = None
    extraArgs: dict[str, Any] | None = None
    extraMounts: list[Mapping] | None = None
    extraConfig: Mapping | None = None
    credentialProviderConfig: Mapping | None = None
    defaultRuntimeSeccompProfileEnabled: bool | None = None
    registerWithFQDN: bool | None = None
    nodeIP: KubeletNodeIp | None = None
    skipNodeRegistration: bool | None = None
    disableManifestsDirectory: bool | None = None


class KubePrism(_Model):
    enabled: bool | None = None
    port: int | None = None


class HostDns(_Model):
    enabled: bool | None = None
    forwardKubeDNSToHost: bool | None = None
    resolveMemberNames: bool | None = None


class TalosApiAccess(_Model):
    enabled: bool | None = None
    allowedRoles: list[str] | None = None
    allowedKubernetesNamespaces: list[str] | None = None


class ImageCache(_Model):
    localEnabled: bool | None = None


class Features(_Model):
    rbac: bool | None = None
    stableHostname: bool | None = None
    kubernetesTalosAPIAccess: TalosApiAccess | None = None
    apidCheckExtKeyUsage: bool | None = None
    diskQuotaSupport: bool | None = None
    kubePrism: KubePrism | None = None
    hostDNS: HostDns | None = None
    imageCache: ImageCache | None = None
    nodeAddressSortAlgorithm: Literal["v1", "v2"] | None = None


class KernelModule(_Model):
    name: str
    parameters: list[str] | None = None


class Kernel(_Model):
    modules: list[KernelModule] | None = None


class Udev(_Model):
    rules: list[str] | None = None


class LogDestination(_Model):
    endpoint: str
    format: Literal["json_lines"]
    extraTags: Texts | None = None


class Logging(_Model):
    destinations: list[LogDestination]


class Encryption(_Model):
    provider: str | None = None
    keys: list[Mapping] | None = None
    cipher: str | None = None
    keySize: int | None = None
    blockSize: int | None = None
    options: list[str] | None = None


class DiskEncryption(_Model):
    state: Encryption | None = None
    ephemeral: Encryption | None = None


class DiskPartition(_Model):
    size: Text | None = None
    mountpoint: str | None = None


class MachineDisk(_Model):
    device: str | None = None
    partitions: list[DiskPartition] | None = None


class Switch(_Model):
    disabled: bool | None = None


class MachineControlPlane(_Model):
    controllerManager: Switch | None = None
    scheduler: Switch | None = None


class SeccompProfile(_Model):
    name: str
    value: Mapping


class Machine(_Model):
    type: Literal["worker", "controlplane"]
    token: str | None = None
    ca: Pair | None = None
    acceptedCAs: list[Pair] | None = None
    certSANs: list[str] | None = None
    controlPlane: MachineControlPlane | None = None
    kubelet: Kubelet | None = None
    pods: list[Mapping] | None = None
    network: Network | None = None
    disks: list[MachineDisk] | None = None
    install: Install | None = None
    files: list[File] | None = None
    env: Texts | None = None
    time: Time | None = None
    sysctls: Texts | None = None
    sysfs: Texts | None = None
    registries: Registries | None = None
    systemDiskEncryption: DiskEncryption | None = None
    features: Features | None = None
    udev: Udev | None = None
    logging: Logging | None = None
    kernel: Kernel | None = None
    seccompProfiles: list[SeccompProfile] | None = None
    baseRuntimeSpecOverrides: Mapping | None = None
    nodeLabels: Texts | None = None
    nodeAnnotations: Texts | None = None
    nodeTaints: Texts | None = None


class ControlPlane(_Model):
    endpoint: str | None = None
    localAPIServerPort: int | None = None


class Cni(_Model):
    name: Literal["flannel", "custom", "none"] | None = None
    urls: list[str] | None = None
    flannel: Mapping | None = None


class ClusterNetwork(_Model):
    cni: Cni | None = None
    dnsDomain: str | None = None
    podSubnets: list[str] | None = None
    serviceSubnets: list[str] | None = None


class _Component(_Model):
    image: str | None = None
    extraArgs: dict[str, Any] | None = None
    extraVolumes: list[Mapping] | None = None
    env: Texts | None = None
    resources: Mapping | None = None


class ApiServer(_Component):
    certSANs: list[str] | None = None
    disablePodSecurityPolicy: bool | None = None
    admissionControl: list[Mapping] | None = None
    auditPolicy: Mapping | None = None
    authorizationConfig: list[Mapping] | None = None


class Scheduler(_Component):
    config: Mapping | None = None


class Proxy(_Model):
    disabled: bool | None = None
    image: str | None = None
    mode: str | None = None
    extraArgs: dict[str, Any] | None = None


class Etcd(_Model):
    image: str | None = None
    ca: Pair | None = None
    extraArgs: dict[str, Any] | None = None
    subnet: str | None = None
    advertisedSubnets: list[str] | None = None
    listenSubnets: list[str] | None = None


class RegistryService(_Model):
    disabled: bool | None = None
    endpoint: str | None = None


class DiscoveryRegistries(_Model):
    kubernetes: Switch | None = None
    service: RegistryService | None = None


class Discovery(_Model):
    enabled: bool | None = None
    registries: DiscoveryRegistries | None = None


class CoreDns(_Model):
    disabled: bool | None = None
    image: str | None = None


class CloudProvider(_Model):
    enabled: bool | None = None
    manifests: list[str] | None = None


class InlineManifest(_Model):
    name: str
    contents: str


class AdminKubeconfig(_Model):
    certLifetime: str | None = None


class Cluster(_Model):
    id: str | None = None
    secret: str | None = None
    token: str | None = None
    clusterName: str | None = None
    controlPlane: ControlPlane | None = None
    network: ClusterNetwork | None = None
    aescbcEncryptionSecret: str | None = None
    secretboxEncryptionSecret: str | None = None
    ca: Pair | None = None
    acceptedCAs: list[Pair] | None = None
    aggregatorCA: Pair | None = None
    serviceAccount: Pair | None = None
    apiServer: ApiServer | None = None
    controllerManager: _Component | None = None
    proxy: Proxy | None = None
    scheduler: Scheduler | None = None
    discovery: Discovery | None = None
    etcd: Etcd | None = None
    coreDNS: CoreDns | None = None
    externalCloudProvider: CloudProvider | None = None
    extraManifests: list[str] | None = None
    extraManifestHeaders: Texts | None = None
    inlineManifests: list[InlineManifest] | None = None
    adminKubeconfig: AdminKubeconfig | None = None
    allowSchedulingOnMasters: bool | None = None
    allowSchedulingOnControlPlanes: bool | None = None


class Config(_Model):
    """The main document."""

    version: Literal["v1alpha1"]
    debug: bool | None = None
    persist: bool | None = None
    machine: Machine
    cluster: Cluster | None = None
