# SPDX-License-Identifier: Apache-2.0
"""Records as they must come out of a wallet, written by hand: the values, units and texts read off the files by eye (the
line of the row beside each, where parts of it stand too), the UTC times worked out from the zone's rules: Brussels and
Berlin are 1 hour ahead, 2 from the last Sunday of March to that of October; New York 5 behind, 4 from 2015-03-08 on.
No program made them."""

IN_780G = '"device":"MiniMed 780G MMT-1886","serial":"NG0000001H"}'
IN_GUARDIAN = '"device":"Guardian Connect","serial":"XXXXXX-XXXX-XXXX-XXXX"}'
IN_723 = '"device":"Paradigm Revel - 723","serial":"#345192"}'

SAMPLE = {
        'masked/780G-mgdl-semicolon-7d-2025.csv': [
                # 8: the rate of a basal segment
                '{"kind":"basal","time":"2025-11-05T05:00:00Z","local_time":"2025-11-05T06:00:00","value":0.6,"unit":"U/h","type":"rate",' + IN_780G,
                # 13
                '{"kind":"calibration","time":"2025-11-04T21:03:00Z","local_time":"2025-11-04T22:03:00","value":62,"unit":"mg/dL",' + IN_780G,
                # 16, 14 and 15: received, four seconds later accepted and sent for calibration
                '{"kind":"fingerstick","time":"2025-11-04T21:02:42Z","local_time":"2025-11-04T22:02:42","value":62,"unit":"mg/dL",'
                '"glucose_source":"BG_READIN_RECEIVED,BG_SENT_FOR_CALIB,USER_ACCEPTED_REMOTE_BG","linked_meter":"00000000007",'
                '"extra":"BG_SENT_FOR_CALIB=+4s\\tUSER_ACCEPTED_REMOTE_BG=+4s",' + IN_780G,
                # 19 and 20: delivered 78 seconds after it was selected
                '{"kind":"bolus","time":"2025-11-04T17:47:05Z","local_time":"2025-11-04T18:47:05","value":1.925,"unit":"U","type":"normal","programmed":1.925,'
                '"delivered":1.925,"number":125,"origin":"CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS","start_delay_s":78,' + IN_780G,
                # 21, twice: what was calculated, and the meal in it
                '{"kind":"wizard","time":"2025-11-04T17:45:47Z","local_time":"2025-11-04T18:45:47","value":1.925,"unit":"U","carbs":20,"carb_unit":"gram",'
                '"carb_ratio":8.5,"glucose_input":183,"glucose_unit":"mg_dl","correction_estimate":-0.425,"food_estimate":2.35,"status":"Delivered",' + IN_780G,
                '{"kind":"carbs","time":"2025-11-04T17:45:47Z","local_time":"2025-11-04T18:45:47","value":20.00,"unit":"g","origin":"bolus wizard",' + IN_780G,
                # 23
                '{"kind":"alarm","time":"2025-11-04T17:45:15Z","local_time":"2025-11-04T18:45:15","text_device":"ALERT ON HIGH: tone and vibration",' + IN_780G,
                # 71
                '{"kind":"device_event","time":"2025-11-04T04:36:43Z","local_time":"2025-11-04T05:36:43","value":0.3,"unit":"U","type":"prime",'
                '"text_device":"Cannula Fill","volume":252.25,' + IN_780G,
                # 75
                '{"kind":"basal","time":"2025-11-04T04:31:01Z","local_time":"2025-11-04T05:31:01","value":0,"unit":"U/h","type":"suspend",'
                '"reason":"NOTSEATED_SUSPEND",' + IN_780G,
                # 445: all automatic insulin of a day, no bolus
                '{"kind":"device_event","time":"2025-11-04T23:00:00Z","local_time":"2025-11-05T00:00:00","value":4.511,"unit":"U","type":"daily_auto_total",'
                '"programmed":4.511,"origin":"CLOSED_LOOP_AUTO_INSULIN",' + IN_780G,
                # 457
                '{"kind":"cgm","time":"2025-11-05T05:30:07Z","local_time":"2025-11-05T06:30:07","value":123,"unit":"mg/dL","isig":28.58,' + IN_780G,
        ],
        'masked/780G-mgdl-semicolon-82d-2025.csv': [
                # 78, and 77: what was unabsorbed and the final estimate
                '{"kind":"wizard","time":"2025-10-21T05:26:52Z","local_time":"2025-10-21T07:26:52","value":0.1,"unit":"U","carbs":0,"carb_unit":"gram",'
                '"carb_ratio":9.5,"sensitivity":50,"target_low":90,"target_high":120,"glucose_input":173,"glucose_unit":"mg_dl","correction_estimate":1.05,'
                '"food_estimate":0,"active_insulin":0.95,"unabsorbed":-0.95,"final_estimate":0.7,"status":"Delivered","step":"STEP_0_POINT_025",' + IN_780G,
                # 261: Brussels was 2 hours ahead
                '{"kind":"settings","time":"2025-10-17T22:00:00Z","local_time":"2025-10-18T00:00:00","setting":"Insulin Action Curve Time",'
                '"setting_value":"120",' + IN_780G,
                # 2874, 2875 and 2877: selected 78 seconds before an alarm ended it
                '{"kind":"bolus","time":"2025-08-26T21:55:01Z","local_time":"2025-08-26T23:55:01","value":1.9,"unit":"U","type":"normal","programmed":2.35,'
                '"delivered":1.9,"number":101,"origin":"CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS","reason":"Alarm","start_delay_s":78,' + IN_780G,
                # 4475
                '{"kind":"cgm","time":"2025-10-22T15:11:05Z","local_time":"2025-10-22T17:11:05","value":86,"unit":"mg/dL","isig":16.9,' + IN_780G,
        ],
        'masked/GuardianConnect-mmol-comma-systemid-2021.csv': [
                # 8
                '{"kind":"alarm","time":"2021-05-20T07:06:17Z","local_time":"2021-05-20T09:06:17","text_device":"SENSOR CONNECTED",' + IN_GUARDIAN,
                # 12: two decimals, as printed
                '{"kind":"fingerstick","time":"2021-05-19T17:39:32Z","local_time":"2021-05-19T19:39:32","value":11.50,"unit":"mmol/L",' + IN_GUARDIAN,
                # 27
                '{"kind":"note","time":"2021-05-18T16:00:32Z","local_time":"2021-05-18T18:00:32","marker":"Exercise","marker_type":"exercise",' + IN_GUARDIAN,
                # 816, 17000: before the end of March Berlin was 1 hour ahead
                '{"kind":"cgm","time":"2021-05-19T19:25:17Z","local_time":"2021-05-19T21:25:17","value":4.94,"unit":"mmol/L",' + IN_GUARDIAN,
                '{"kind":"cgm","time":"2021-02-26T00:36:40Z","local_time":"2021-02-26T01:36:40","value":6.33,"unit":"mmol/L",' + IN_GUARDIAN,
        ],
        'masked/legacy-revel723-2015.csv': [
                # 16 and 17: the meter's reading, and the pump's note of it
                '{"kind":"fingerstick","time":"2015-03-06T13:09:54Z","local_time":"2015-03-06T08:09:54","value":134,"unit":"mg/dL",'
                '"glucose_source":"BGReceived,CalBGForPH","linked_meter":"#AED763","raw_type":"BGReceived",'
                '"raw_values":"ACTION_REQUESTOR=paradigm link or b key, PARADIGM_LINK_ID=AED763","raw_key":"14655353401/53765180/78",' + IN_723,
                # 99, twice
                '{"kind":"wizard","time":"2015-03-06T13:21:32Z","local_time":"2015-03-06T08:21:32","value":5.7,"unit":"U","origin":"paradigm link or b key",'
                '"carbs":65,"carb_unit":"gram","carb_ratio":12,"sensitivity":40,"target_low":90,"target_high":120,"glucose_input":134,"glucose_unit":"mg_dl",'
                '"correction_estimate":0.3,"food_estimate":5.4,"unabsorbed":0,"raw_type":"BolusWizardBolusEstimate",'
                '"raw_values":"UNABSORBED_INSULIN_COUNT=0","raw_key":"14658455412/53766239/115",' + IN_723,
                '{"kind":"carbs","time":"2015-03-06T13:21:32Z","local_time":"2015-03-06T08:21:32","value":65,"unit":"g","origin":"bolus wizard",' + IN_723,
                # 108: the extended part of a dual wave
                '{"kind":"bolus","time":"2015-03-06T18:06:10Z","local_time":"2015-03-06T13:06:10","value":2.9,"unit":"U","type":"dual_square","programmed":2.9,'
                '"delivered":2.9,"duration_s":1800,"origin":"paradigm link or b key","unabsorbed":0.4,"raw_type":"BolusSquare",'
                '"raw_key":"14658455403/53766239/106",' + IN_723,
                # 221 and 220: half the rate for an hour and a half
                '{"kind":"basal","time":"2015-03-07T13:38:33Z","local_time":"2015-03-07T08:38:33","value":50,"unit":"%","type":"temp_percent","duration_s":5400,'
                '"origin":"pump","raw_type":"ChangeTempBasalPercent","raw_key":"14664241426/53767981/132",'
                '"extra":"raw_type=ChangeTempBasalNoRate\\traw_key=14671653309/53770641/200",' + IN_723,
                # 264: the pump still showed the hour of before; 16:00 UTC is what it was put to
                '{"kind":"device_event","time":"2015-03-08T15:56:53Z","local_time":"2015-03-08T10:56:53","type":"clock_change","origin":"pump",'
                '"text_device":"NEW_TIME=1425816000000","new_time":"2015-03-08T12:00:00","raw_type":"ChangeTime","raw_key":"14664241384/53767981/90",' + IN_723,
                # 517: after it New York was 4 behind
                '{"kind":"device_event","time":"2015-03-10T12:32:01Z","local_time":"2015-03-10T08:32:01","value":18.5,"unit":"U","type":"prime","programmed":0,'
                '"origin":"pump","text_device":"manual","raw_type":"Prime","raw_key":"14679221494/53773016/133",' + IN_723,
        ],
}
