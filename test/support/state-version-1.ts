/** A state file as weft wrote it when it wrote version 1: made by that program with a lab like this, never to be changed. */
export const STATE_VERSION_1_TEXT = `{"weft":1,
"instance":"98f77655-4f54-47c3-b64a-34ee97b5f9e8",
"attachments":2,
"networks":[
{"id":"bb567d42-2c9b-4666-b577-9e3e6da51122","lastGiven":[null,"fd00:199:7::3"],"spec":{"name":"op-lan","type":"internal","subnets":["10.199.7.0/24","fd00:199:7::/64"],"gateway":["10.199.7.1","fd00:199:7::1"],"pools":[],"reserved":[],"mtu":1500,"ageingSeconds":300,"controlFrames":"pass","storm":{"broadcast":0,"multicast":0,"unknownUnicast":0},"macLimit":131072}},
{"id":"d53b2789-66a5-4049-8813-4fc87c51df2e","lastGiven":[],"spec":{"name":"op-vlan","type":"private","subnets":[],"gateway":[],"pools":[],"reserved":[],"mtu":1400,"ageingSeconds":300,"controlFrames":"pass","storm":{"broadcast":0,"multicast":0,"unknownUnicast":0},"macLimit":131072}}
],
"compartments":[
{"id":"a43fec3b-e28c-47f3-9f8c-d2695067d7e4","identity":{"device":4,"inode":4026532607},"spec":{"name":"op-a","netns":null,"pid":null}},
{"id":"96214d79-d5cd-4ac8-a873-22c78299ff2c","identity":{"device":4,"inode":4026532677},"spec":{"name":"op-b","netns":null,"pid":null}}
],
"endpoints":[
{"id":"bb655ade-511d-485e-9b2f-e62040a14779","ifnameIsAutomatic":true,"attachment":1,"metric":100,"spec":{"name":"op-a-lan","network":"op-lan","compartment":"op-a","ifname":"eth0","mac":"02:b3:fc:4c:04:45","ip":["10.199.7.10","fd00:199:7::2"],"defaultRoute":true,"vlan":null,"isolated":false,"offload":true,"staticMacs":[]}},
{"id":"d04e3d54-9153-43c2-b6fd-cbb1808cd246","ifnameIsAutomatic":true,"attachment":2,"metric":100,"spec":{"name":"op-b-lan","network":"op-lan","compartment":"op-b","ifname":"eth0","mac":"02:e0:e6:61:8d:49","ip":["10.199.7.11","fd00:199:7::3"],"defaultRoute":true,"vlan":null,"isolated":false,"offload":true,"staticMacs":[]}},
{"id":"dd905aad-e513-4c91-997b-1ff09d7602d3","ifnameIsAutomatic":true,"attachment":0,"metric":0,"spec":{"name":"op-loose","network":"op-vlan","compartment":null,"ifname":"eth0","mac":"02:fa:9b:72:86:5f","ip":[],"defaultRoute":true,"vlan":null,"isolated":false,"offload":true,"staticMacs":[]}}
],
"captures":[],
"captureRequests":[],
"applied":{"networks":[],"compartments":[],"endpoints":[],"captures":[]}}
`;
